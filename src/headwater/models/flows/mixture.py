"""A mixture of flows: several flows, and weights that the context may choose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float, Int64
from pydantic import Field
from torch import Tensor, nn

from headwater.bijections.parameters import ContextParameters
from headwater.errors import ConfigError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    DataInitialized,
    Losses,
    ModelConfig,
    Paper,
    Player,
)
from headwater.models.flows.given import Given
from headwater.models.flows.joint import Joint
from headwater.models.flows.model import FlowConfig, FlowModel, FlowSampling
from headwater.models.registry import load_class
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["FlowMixture", "FlowMixtureConfig"]

_ROUNDS = 10
_LEAST_ROWS = 16


class FlowMixtureConfig(ModelConfig):
    """How many flows, and which."""

    components: int = Field(3, ge=2, le=64, description="number of flows")
    component: dict[str, Any] = Field(
        {"name": "nsf"}, description="name of a flow and its settings: component.name, component.transforms, ..."
    )


@final
class FlowMixture(Joint, DataInitialized):
    """``log p(x | c) = log sum_k w_k(c) p_k(x | c)``: exact, with as many pieces as the data has clusters.

    One flow is a continuous image of one piece of noise and leaves bridges between clusters; a mixture
    need not. Each flow begins on a cluster of the first batch (Lloyd's algorithm). A sample comes from
    one flow, chosen by weight, so there is no single noise behind it and nothing to invert.

    Args:
        config: How many flows, and which.
        event: Shape of the events, all of whose elements must be real.
        context: What the model is given.

    Raises:
        ConfigError: the component is no flow, or has no such setting.
        UnsupportedEventError: an element of the event is not an unbounded real.
    """

    Config = FlowMixtureConfig
    Sampling = FlowSampling
    encoding: ClassVar[Encoding] = Encoding.REAL
    monitor: ClassVar[str | None] = "nll"
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 2e-3, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 512, "ema": 0.999},
    }
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "pires2020variational",
            "Variational Mixture of Normalizing Flows",
            "Guilherme G. P. F. Pires, Mario A. T. Figueiredo",
            2020,
            "https://arxiv.org/abs/2009.00585",
        ),
    )

    config: FlowMixtureConfig

    def __init__(self, config: FlowMixtureConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        settings = {"name": "nsf", **config.component}
        name = settings.pop("name")
        cls = load_class(str(name))
        if not issubclass(cls, FlowModel):
            raise ConfigError(
                f"A mixture of flows cannot be made of {name!r} (model.component.name).",
                hint="Take a flow of rows of reals with an exact inverse, such as nsf, realnvp or maf.",
            )
        chosen = cls.Config.parse(settings, where="model.component")
        assert isinstance(chosen, FlowConfig)
        self.flows = nn.ModuleList(cls(chosen, event, context) for _ in range(config.components))
        self.given = Given(context, 0)
        self.weights = ContextParameters(torch.zeros(config.components), context=context.size)

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    @torch.no_grad()
    def initialize(self, batch: Batch, rng: Rng) -> None:
        """Each flow begins on a cluster; clusters of few rows give way to the whole batch."""
        nearest = _clusters(batch.x.flatten(1), self.config.components)
        for k, flow in enumerate(self._flows()):
            rows = torch.nonzero(nearest == k)[:, 0]
            if len(rows) < _LEAST_ROWS:
                rows = torch.arange(len(nearest), device=nearest.device)
            context = None if batch.context is None else batch.context[rows]
            flow.initialize(Batch(batch.x[rows], context, batch.progress), rng.rows(rows))

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        each = [
            flow.flow.log_prob(batch.x.flatten(1), flow.given(batch.context, batch.x), rng.fold(k))
            for k, flow in enumerate(self._flows())
        ]
        log_weights = self.log_weights(len(batch.x), batch.context)
        nll = -torch.logsumexp(log_weights + torch.stack(each, dim=1), dim=1).mean()
        return Losses(nll, {"nll": nll})

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="scoring")
        scores = [flow.log_prob(x, context=context) for flow in self._flows()]
        joint = self.log_weights(len(x), context).to(x.dtype) + torch.stack([s.value for s in scores], dim=1)
        value, first = torch.logsumexp(joint, dim=1), scores[0]
        errors = [score.stderr for score in scores if score.stderr is not None]
        if not errors:
            return Score(value, first.kind, protocol=first.protocol)
        share = torch.exp(joint - value[:, None])  # the flows share their fixed draws: errors add up
        return Score(value, first.kind, (share * torch.stack(errors, dim=1)).sum(dim=1), first.protocol)

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = FlowSampling.parse(options, where="sampling").model_dump()
        like = next(self.parameters())
        which = rng.categorical("flow", self.log_weights(n, context))
        x = like.new_empty(n, *self.event.shape)
        for k, flow in enumerate(self._flows()):
            rows = torch.nonzero(which == k)[:, 0]
            given = None if context is None else context[rows]
            if len(rows):
                x[rows] = flow.sample(len(rows), context=given, rng=rng.rows(rows), **chosen)
        return x

    @property
    def reparameterized(self) -> bool:
        return False

    def sample_and_log_prob(
        self, rng: Rng, *, context: Float[Tensor, "n context"] | None = None
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, " n"]]:
        """An event per key of ``rng`` with its log-density in nats; which flow it is of carries no gradient.

        Raises:
            UsageError: gradients are recorded.
        """
        self.refuse_gradients()
        x = self.sample(rng.n, context=context, rng=rng)
        return x, self.log_prob(x, context=context).value

    def log_weights(self, n: int, context: Float[Tensor, "n context"] | None = None) -> Float[Tensor, "n components"]:
        """``log w_k(c)`` of ``n`` events; zeros stand for a context that is not given."""
        like = next(self.parameters()).new_zeros(n)
        return torch.log_softmax(self.weights(n, self.given(context, like)).to(like.dtype), dim=1)

    def _flows(self) -> list[FlowModel]:
        return [flow for flow in self.flows if isinstance(flow, FlowModel)]


def _clusters(x: Float[Tensor, "rows features"], k: int) -> Int64[Tensor, " rows"]:
    """Lloyd's algorithm from the rows farthest from those before; the nearest centre of each row."""
    centres = x[:1]
    for _ in range(1, k):
        centres = torch.cat([centres, x[torch.cdist(x, centres).amin(dim=1).argmax()][None]])
    for _ in range(_ROUNDS):
        member = torch.nn.functional.one_hot(torch.cdist(x, centres).argmin(dim=1), k).to(x.dtype)
        counts = member.sum(dim=0)[:, None]
        centres = torch.where(counts > 0, member.T @ x / counts.clamp(min=1), centres)
    return torch.cdist(x, centres).argmin(dim=1)
