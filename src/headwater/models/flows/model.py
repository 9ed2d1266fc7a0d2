"""What all flow models share: everything but the bijection."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.bijections.bijection import Bijection, initialize
from headwater.bijections.combinators import Compose, layers
from headwater.bijections.logistic import Logistic
from headwater.bijections.spline_kernels import compiled_splines
from headwater.compilers import missing_compiler
from headwater.distributions.bases import BaseName, build_base
from headwater.errors import UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    DataInitialized,
    Gradual,
    Losses,
    Options,
    Player,
)
from headwater.models.flows.codes import NoiseCodes
from headwater.models.flows.flow import Flow
from headwater.models.flows.given import ContextConfig, Given
from headwater.models.flows.joint import Joint
from headwater.models.flows.reals import require_reals
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["AbstractFlow", "CompiledSampling", "EstimatedScoring", "FlowConfig", "FlowModel", "FlowSampling"]


class FlowConfig(ContextConfig):
    """What every flow is asked."""

    base: BaseName = Field(
        "normal",
        description="density of the noise; student-t: heavy tails; mixture: several modes; uniform: on the unit box,"
        " behind a logistic function; resampled: a learned accept-reject density, whose likelihood is an estimate",
    )
    base_components: int = Field(8, ge=2, le=1024, description="Gaussians of the base 'mixture'")
    base_degrees: float | None = Field(
        None, ge=0.1, le=1000, description="degrees of freedom of the base 'student-t'; None: learned per dimension"
    )


class FlowSampling(Options):
    """How to draw from a flow."""

    temperature: float = Field(1.0, ge=0, le=10, description="spread of the noise: below one is safer, less diverse")


class CompiledSampling(FlowSampling):
    """How to draw from a flow of rational-quadratic splines."""

    compile: bool = Field(
        False, description="compile the splines: seconds at the start, then up to twice as many samples a second"
    )


class EstimatedScoring(Options):
    """How to score with a flow whose log-determinants are costly."""

    draws: int | None = Field(
        None, ge=2, le=100_000, description="estimates per event whose mean is the score; None: exact"
    )


class AbstractFlow(Joint, NoiseCodes, Gradual, DataInitialized):
    """A bijection of the flattened event with a simple base, before how it is trained and sampled is said.

    Codes and noise are the same thing.

    Args:
        config: The leaf's configuration.
        event: Shape of the events, all of whose elements must be real.
        context: What the model is given.

    Raises:
        UnsupportedEventError: an element of the event is not an unbounded real.
    """

    encoding: ClassVar[Encoding] = Encoding.REAL
    monitor: ClassVar[str | None] = "nll"
    stages_are_events: ClassVar[bool] = False

    def __init__(self, config: FlowConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        require_reals(event)
        self.config, self.event, self.context = config, event, context
        self.given = Given(context, config.embedding)
        bijection = self.bijection(event.size, self.given.size)
        if config.base == "uniform":
            bijection = Compose(bijection, Logistic())
        base = build_base(config.base, event.size, components=config.base_components, degrees=config.base_degrees)
        self.flow = Flow(bijection, base)

    @abstractmethod
    def bijection(self, features: int, context: int) -> Bijection:
        """The bijection of vectors of this many features, given a context vector of this length (0: none)."""

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def initialize(self, batch: Batch, rng: Rng) -> None:
        initialize(self.flow.bijection, batch.x.flatten(1), self.given(batch.context, batch.x))

    @property
    def reparameterized(self) -> bool:
        return self.flow.base.reparameterized

    def sample_and_log_prob(
        self, rng: Rng, *, context: Float[Tensor, "n context"] | None = None
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, " n"]]:
        self.refuse_gradients()
        like = next(self.parameters())
        given = self.given(context, like.new_zeros(rng.n))
        x, log_prob = self.flow.sample_and_log_prob(rng, given, dtype=like.dtype)
        return x.reshape(-1, *self.event.shape), log_prob

    def to_noise(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch noise"]:
        z: Tensor = self.flow.bijection(x.flatten(1), self.given(context, x))[0]
        return z

    def from_noise(
        self, z: Float[Tensor, "batch noise"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        x, _ = self.flow.bijection.inverse(z, self.given(context, z))
        return x.reshape(-1, *self.event.shape)

    def stages(
        self, z: Float[Tensor, "batch noise"], count: int, *, context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch noise"], ...]:
        given, found = self.given(context, z), [z]
        for part in reversed(layers(self.flow.bijection)):
            z = part.inverse(z, given)[0]
            found.append(z)
        places = torch.linspace(0, len(found) - 1, min(count, len(found))).round().long().tolist()
        return tuple(found[place].flatten(1) for place in places)


class FlowModel(AbstractFlow):
    """A flow on the flattened event with a simple base; leaves say which bijection.

    The likelihood is exact (an estimate with a resampled base) and the loss is the mean of
    ``-log p(x | c)`` in nats.
    """

    Sampling: ClassVar[type[Options]] = FlowSampling

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self.flow.log_prob(batch.x.flatten(1), self.given(batch.context, batch.x), rng).mean()
        return Losses(nll, {"nll": nll})

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        chosen = self.Scoring.parse(budget, where="scoring")
        given = self.given(context, x)
        if not isinstance(chosen, EstimatedScoring) or chosen.draws is None:
            return self.flow.score(x.flatten(1), given)
        if rng is None:
            raise UsageError("An estimate of the likelihood draws noise.", hint="Pass rng=Rng.of(seed, len(x)).")
        return self.flow.estimate(x.flatten(1), given, rng.fold("log-determinant"), chosen.draws)

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = self.Sampling.parse(options, where="sampling")
        assert isinstance(chosen, FlowSampling)
        like = next(self.parameters())
        z = self.flow.base.sample(rng, temperature=chosen.temperature, dtype=like.dtype)
        compiled = isinstance(chosen, CompiledSampling) and chosen.compile
        if compiled and (reason := missing_compiler(like.device)):
            raise UsageError(f"Sampling with compile=True is impossible here: {reason}.", hint="Leave compile away.")
        with compiled_splines() if compiled else nullcontext():
            return self.from_noise(z, context=context)
