"""Amortized posteriors: a conditional flow trained on simulations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headwater.applications.inference.embedding import Observation
from headwater.applications.inference.posterior import Posterior
from headwater.applications.inference.simulations import Simulations
from headwater.applications.inference.support import Support
from headwater.errors import DataError, UsageError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch, Player
from headwater.models.flows.model import FlowConfig, FlowModel
from headwater.models.registry import load_class
from headwater.progress import Progress
from headwater.rng import Rng
from headwater.settings import OptimizerSettings
from headwater.training.descend import descend
from headwater.training.order import DataOrder

__all__ = ["fit_posterior"]

_CHECKS = 20
_FIRST = 1024


def fit_posterior(
    simulations: Simulations,
    model: str = "nsf",
    *,
    steps: int = 2_000,
    batch_size: int = 256,
    embedding: str | nn.Module = "mlp",
    embedded: int = 16,
    names: Sequence[str] | None = None,
    low: Sequence[float] | None = None,
    high: Sequence[float] | None = None,
    held_out: float = 0.1,
    optimizer: OptimizerSettings | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **model_settings: Any,
) -> Posterior:
    """Learn ``p(θ | x)`` for all ``x`` from simulated pairs.

    The weights kept are those with the least loss on held-out pairs, looked at twenty times. The figures of that are in
    the posterior's ``history``: step and nats per held-out row.

    Args:
        simulations: Draws of parameters and observations, see :func:`~headwater.applications.inference.simulate`.
        model: A flow's name, see ``headwater models flow``.
        steps: Budget in optimizer steps.
        batch_size: Pairs per step.
        embedding: What reads an observation: ``none``, ``mlp``, ``deepset``, ``series`` or a module of one's own; it is
            trained together with the flow.
        embedded: Length of a built-in embedding's output.
        names: Of the parameters, for figures.
        low, high: Bounds of the parameters, infinite or left out for none.
        held_out: Share of the pairs that choose the weights.
        optimizer: AdamW and its schedule; by default the model's own.
        seed: Of weights, order and noise.
        progress: Advances by steps.
        model_settings: Of the flow, such as ``transforms=3``.

    Raises:
        UsageError: the model is not a flow; an embedding that does not fit.
        DataError: pairs that are not finite, too few, or parameters outside their bounds.
        DivergenceError: more than twenty steps in a row gave what is not finite.
    """
    cls = load_class(model)
    if not issubclass(cls, FlowModel):
        raise UsageError(f"Posteriors need a flow, {model!r} is none.", hint="headwater models flow   lists them")
    train, valid = _split(simulations, held_out, seed)
    size = simulations.parameters.shape[1]
    support = Support(_bounds(low, -math.inf, size), _bounds(high, math.inf, size))
    support.fit(train.parameters)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        seen = Observation(tuple(simulations.observations.shape[1:]), embedding, size=embedded)
        seen.fit(train.observations)
        config = cls.Config.parse(model_settings, where="model")
        assert isinstance(config, FlowConfig)
        flow = cls(config, EventSpec.real(size), ContextSpec(size=seen.size))
    posterior = Posterior(flow, seen, support, _names(names, size))
    chosen = optimizer or OptimizerSettings.parse(cls.defaults.get("optimizer", {}), where="optimizer")
    order = DataOrder(np.arange(len(train)), min(batch_size, len(train)), seed)

    def batches(step: int) -> tuple[Batch, Rng]:
        rows = torch.from_numpy(order.rows(step))
        return _batch(posterior, train.chosen(rows)), Rng.of(seed, len(rows)).fold(step)

    first = torch.from_numpy(order.rows(0)[:_FIRST])
    with torch.no_grad():
        start = _batch(posterior, train.chosen(first))
        assert start.context is not None
        flow.initialize(Batch(start.x, posterior.observation(start.context)), Rng.of(seed, len(first)))
    watch = _Watch(posterior, valid, every=max(1, steps // _CHECKS), last=steps)
    descend(
        posterior,
        [Player("model", tuple(posterior.parameters()))],
        posterior.loss,
        batches,
        steps=steps,
        optimizer=chosen,
        title=f"Training {model}",
        hint="Lower the learning rate (optimizer=OptimizerSettings(lr=...)), or look for outliers in the simulations.",
        watch=watch,
        progress=progress,
    )
    return watch.best()


@dataclass
class _Watch:
    """Looks at held-out pairs now and then and keeps the best weights."""

    posterior: Posterior
    valid: Simulations
    every: int
    last: int
    state: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def __call__(self, step: int) -> None:
        if step % self.every and step != self.last:
            return
        parts = [self.valid.chosen(rows) for rows in torch.split(torch.arange(len(self.valid)), 1_000)]
        losses = [float(self._loss(part)) * len(part) for part in parts]
        mean = sum(losses) / len(self.valid)
        if mean < min((loss for _, loss in self.posterior.history), default=math.inf):
            self.state = {name: value.clone() for name, value in self.posterior.state_dict().items()}
        self.posterior.history.append((step, mean))

    def _loss(self, part: Simulations) -> Tensor:
        return self.posterior.loss(_batch(self.posterior, part), "model", Rng.of(0, len(part))).total

    def best(self) -> Posterior:
        """The posterior with its best weights, without gradients."""
        self.posterior.load_state_dict(self.state)
        return self.posterior.eval().requires_grad_(requires_grad=False)


def _batch(posterior: Posterior, pairs: Simulations) -> Batch:
    like = next(posterior.flow.parameters())
    u = posterior.support.to_real(pairs.parameters).to(like.dtype)
    return Batch(u, pairs.observations.flatten(1).to(like.dtype))


def _split(simulations: Simulations, held_out: float, seed: int) -> tuple[Simulations, Simulations]:
    broken = int((~simulations.finite).sum())
    if broken:
        raise DataError(
            f"{broken} of {len(simulations)} simulations hold NaN or infinity.",
            hint="Mend the simulator, or leave them out and know that the prior changes: s = s.chosen(s.finite)",
        )
    count = round(held_out * len(simulations))
    if not 0 < count < len(simulations) - 1:
        raise DataError(
            f"{len(simulations)} simulations with held_out={held_out} leave {count} to hold out.",
            hint="Simulate more: a few thousand at least.",
        )
    order = torch.from_numpy(DataOrder(np.arange(len(simulations)), len(simulations), seed).rows(0))
    return simulations.chosen(order[count:]), simulations.chosen(order[:count])


def _bounds(given: Sequence[float] | None, default: float, size: int) -> list[float]:
    found = [default] * size if given is None else [float(bound) for bound in given]
    if len(found) != size:
        raise DataError(f"Expected a bound for each of {size} parameters, got {len(found)}.")
    return found


def _names(given: Sequence[str] | None, size: int) -> tuple[str, ...]:
    found = tuple(given) if given is not None else tuple(f"parameter {i}" for i in range(size))
    if len(found) != size:
        raise DataError(f"Expected {size} names, got {len(found)}.")
    return found
