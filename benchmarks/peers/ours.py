"""Headwater's flows: ``nsf`` and ``maf`` with the common network, trained by the training loop's own update."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.shared import (
    BATCH,
    BINS,
    BOUND,
    HIDDEN,
    LEARNING_RATE,
    TASKS,
    TRANSFORMS,
    batch_order,
    training_data,
)
from benchmarks.peers.torch_flow import TorchFlow, forget, graphs, precision, reduces, versions_of
from headwater.bijections.spline_kernels import compiled_splines
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.model import FlowModel
from headwater.models.registry import load_class
from headwater.rng import Rng
from headwater.settings import OptimizerSettings, RunSettings
from headwater.training.distributed import Ranks
from headwater.training.optimizer import PlayerOptimizer
from headwater.training.update import update

__all__ = ["MODES", "SHARED", "TASKS_OF", "build", "forget", "graphs", "precision", "reduces", "versions"]

MODES = ("eager", "compiled")
TASKS_OF = {"eager": tuple(TASKS), "compiled": tuple(TASKS)}
SHARED = True


def versions() -> dict[str, str]:
    """Of what runs here."""
    return versions_of("headwater", "torch")


def build(work: str, features: int, mode: str) -> TorchFlow:
    """The model of this work, ActNorm initialized on the data."""
    model, network = _model(work, features)
    x = torch.from_numpy(training_data(features))[torch.from_numpy(batch_order()[0])]
    with torch.no_grad():
        model.initialize(Batch(x), Rng.of(1, BATCH))
    loss = torch.compile(model.loss, fullgraph=True, dynamic=False) if mode == "compiled" else model.loss
    kernels = compiled_splines if mode == "compiled" else nullcontext
    seeds = iter(range(2**31))

    def sample(n: int) -> Tensor:
        with kernels():
            return model.sample(n, rng=Rng.of(next(seeds), n))

    def joint(n: int) -> tuple[Tensor, Tensor]:
        with kernels():
            return model.sample_and_log_prob(Rng.of(next(seeds), n))

    return TorchFlow(
        model,
        features,
        network,
        log_prob=model.flow.log_prob,
        sample=sample,
        joint=joint,
        mode=mode,
        fullgraph=True,
        training=lambda data: _training(model, loss, data),
        compile_sampling=False,
    )


def _model(work: str, features: int) -> tuple[FlowModel, str]:
    cls = load_class("maf" if work == "maf" else "nsf")
    settings: dict[str, Any] = {
        "transforms": TRANSFORMS,
        "width": HIDDEN[0],
        "blocks": len(HIDDEN) - 1,
        "linear": "permutation",
        "activation": "relu",
        "kind": "coupling" if work == "coupling-spline" else "autoregressive",
    }
    if work != "maf":
        settings |= {"bins": BINS, "bound": BOUND}
    network = f"one residual block of two layers of {HIDDEN[0]}; random permutations and ActNorm between"
    if "residual" in cls.Config.model_fields:
        settings["residual"] = False
        network = f"plain {list(HIDDEN)}; random permutations and ActNorm between"
    torch.manual_seed(0)
    model = cls(cls.Config(**settings), EventSpec.real(features), ContextSpec())
    assert isinstance(model, FlowModel)
    return model, network


def _training(model: FlowModel, loss: Any, data: Tensor) -> Callable[[], Tensor]:
    names = {id(p): name for name, p in model.named_parameters()}
    settings = OptimizerSettings(lr=LEARNING_RATE)
    optimizers = [PlayerOptimizer(player, settings, names) for player in model.players()]
    order, ranks, steps = torch.from_numpy(batch_order()), Ranks(RunSettings(), rank=0, world=1), iter(range(2**31))

    def step() -> Tensor:
        number = next(steps)
        batch = Batch(data[order[number % len(order)]])
        done = update(optimizers, loss, batch, Rng.of(number, BATCH), factor=1.0, clip=None, ranks=ranks)
        return done.figures[0]

    return step
