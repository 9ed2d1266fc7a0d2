"""Continuous normalizing flows that are trained by maximum likelihood: all but the velocity field."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from headwater.bijections.actnorm import ActNorm
from headwater.bijections.bijection import initialize
from headwater.distributions.normal import StandardNormal
from headwater.distributions.solvers import rk4
from headwater.errors import UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    DataInitialized,
    Losses,
    Player,
)
from headwater.models.flows.codes import NoiseCodes
from headwater.models.flows.given import ContextConfig, Given
from headwater.models.flows.joint import Joint
from headwater.models.flows.reals import require_reals
from headwater.models.ode.likelihood import Rates, augment, estimate, rademacher
from headwater.models.ode.solve import SolverOptions, chunks, integrate
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["ContinuousConfig", "ContinuousFlow", "ContinuousSampling"]

_FLOATS = 1 << 22  # numbers a layer of the network holds at once, when nothing is trained
_TIGHT = SolverOptions(rtol=1e-6, atol=1e-6)  # of the codes; sampling needs less


class ContinuousConfig(ContextConfig):
    """What every continuous flow is asked."""

    width: int = Field(64, ge=1, le=8192, description="width of the network")
    layers: int = Field(3, ge=2, le=64, description="hidden layers of the network")
    steps: int = Field(8, ge=1, le=1000, description="steps of the solver (RK4) in training")
    checkpoint: bool = Field(
        False, description="compute the network again for its gradient, which costs a third more and saves memory"
    )
    kinetic: float = Field(0.01, ge=0, description="weight of the kinetic energy of the paths, beside nats")


class ContinuousSampling(SolverOptions):
    """How to draw: the solver, and the spread of the noise."""

    temperature: float = Field(1.0, ge=0, le=10, description="spread of the noise: below one is safer, less diverse")


class ContinuousFlow(Joint, NoiseCodes, DataInitialized):
    """The flow of ``dx/dt = v(x, t; c)`` from standard normal noise (t = 0) to standardized data (t = 1).

    ``log p(x) = log N(x_0) - ∫_0^1 div v(x_t, t) dt`` along the path that ends in x. Training solves state and integral
    together by the method of Runge and Kutta on an even grid and differentiates through the steps:
    ``-log p + a ∫ ½|v|^2 dt + ∫ costs dt``. Paths that cost little are straight, and straight paths need few steps. The
    grid is not the equation: scores are found with small steps, and say by how much they still move. Codes and noise
    are the same thing.

    Leaves have the field and its costs.

    Raises:
        UnsupportedEventError: an element of the event is not an unbounded real.

    References: Neural Ordinary Differential Equations (Chen, Rubanova, Bettencourt & Duvenaud, 2018),
    https://arxiv.org/abs/1806.07366; Discretize-Optimize vs. Optimize-Discretize for Time-Series Regression and
    Continuous Normalizing Flows (Onken & Ruthotto, 2020), https://arxiv.org/abs/2005.13420.
    """

    Sampling = ContinuousSampling
    Scoring: ClassVar[type[SolverOptions]]
    encoding: ClassVar[Encoding] = Encoding.REAL
    monitor: ClassVar[str | None] = "nll"
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 5e-3, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 512, "ema": 0.999},
    }

    config: ContinuousConfig
    times: Tensor

    def __init__(self, config: ContinuousConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        require_reals(event)
        self.config, self.event, self.context = config, event, context
        self.given = Given(context, config.embedding)
        self.register_buffer("times", torch.linspace(1, 0, config.steps + 1), persistent=False)
        self.norm, self.base = ActNorm(event.size), StandardNormal(event.size)
        self.build(event.size, self.given.size)

    @abstractmethod
    def build(self, features: int, context: int) -> None:
        """Make the field of vectors of this many features, given a context vector of this length (0: none)."""

    @abstractmethod
    def velocity(
        self, t: Float[Tensor, " batch"], x: Float[Tensor, "batch features"], c: Float[Tensor, "batch size"] | None
    ) -> Float[Tensor, "batch features"]:
        """``v(x, t; c)``."""

    @abstractmethod
    def rates(
        self,
        t: Float[Tensor, " batch"],
        x: Float[Tensor, "batch features"],
        c: Float[Tensor, "batch size"] | None,
        probes: Float[Tensor, "draws batch features"] | None,
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch columns"], Float[Tensor, "batch costs"]]:
        """``v``, its divergence (exactly, or one estimate per probe), and what the loss is to keep small."""

    @abstractmethod
    def costs(self) -> Mapping[str, float]:
        """Names of the costs, in the order of :meth:`rates`, with their weights beside nats."""

    @abstractmethod
    def draws(self, options: SolverOptions | None) -> int | None:
        """Probes of the trace when scoring with these options, or when training (None); None: the trace is exact."""

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def initialize(self, batch: Batch, rng: Rng) -> None:
        initialize(self.norm, batch.x.flatten(1))

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        x, ladj = self.norm(batch.x.flatten(1))
        context, draws = self.given(batch.context, x), self.draws(None)
        probes = rademacher(rng, draws, x) if draws else None

        def rates(t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            v, div, costs = self.rates(t, x, context, probes)
            return v, torch.cat([div.mean(1, keepdim=True), 0.5 * v.square().sum(1, keepdim=True), costs], dim=1)

        weights = {"kinetic": self.config.kinetic, **self.costs()}
        field, start = augment(self._lean(rates), x, 1 + len(weights))
        end, size = rk4(field, start, self.times), self.event.size
        nll = -(self.base.log_prob(end[:, :size]) + ladj + end[:, size]).mean()
        costs = -end[:, size + 1 :].mean(0)  # time runs backwards
        total = nll + sum(weight * cost for weight, cost in zip(weights.values(), costs, strict=True))
        return Losses(total, {"nll": nll, **dict(zip(weights, costs, strict=True))})

    def _lean(self, rates: Rates) -> Rates:
        if not self.config.checkpoint:
            return rates
        return lambda t, x: checkpoint(rates, t, x, use_reentrant=False, preserve_rng_state=False)

    @torch.no_grad()
    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        """``log p(x | context)``, an estimate: the equation is solved numerically.

        ``ode_error`` in the protocol is the mean change in nats, over the first 64 events, from a coarser solution
        (half the steps, or tenfold tolerances) to this one; where the trace is found by random probes, ``stderr`` is
        the standard error of that.

        Raises:
            ConfigError: an unknown option or a value outside its bounds.
            UsageError: ``rng`` is missing where the trace needs probes.
            DivergenceError: the adaptive solver ran out of steps.
        """
        chosen = self.Scoring.parse(budget, where="scoring")
        draws = self.draws(chosen)
        if draws and rng is None:
            raise UsageError(
                f"The likelihood of events of {self.event.size} elements draws random probes and needs rng=.",
                hint="Pass rng=Rng.of(seed, len(x)), or trace='exact'.",
            )
        given = self.given(context, x)
        flat, ladj = self.norm(x.flatten(1))

        def columns(rows: slice, options: SolverOptions) -> Tensor:
            c, probes = None if given is None else given[rows], None
            if draws and rng is not None:
                probes = rademacher(rng.rows(rows), draws, flat[rows])

            def rates(t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
                return self.rates(t, x, c, probes)[:2]

            field, start = augment(rates, flat[rows], draws or 1)
            end = integrate(field, start, 1.0, 0.0, options)
            z, change = end[:, : self.event.size], end[:, self.event.size :]
            return (self.base.log_prob(z) + ladj[rows])[:, None] + change

        return estimate(columns, self._runs(len(x), 1 + (draws or self.event.size)), chosen, draws=draws)

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        """``n`` new events by solving from noise to data.

        Options: ``solver``, ``steps``, ``rtol``, ``atol``, ``temperature`` (see :class:`ContinuousSampling`).

        Raises:
            ConfigError: an unknown option or a value outside its bounds.
            DivergenceError: the adaptive solver ran out of steps.
        """
        chosen = ContinuousSampling.parse(options, where="sampling")
        z = self.base.sample(rng, temperature=chosen.temperature, dtype=self.norm.mean.dtype)
        return self._events(self._flow(z, context, 0.0, 1.0, chosen))

    @property
    def reparameterized(self) -> bool:
        return False

    def sample_and_log_prob(
        self, rng: Rng, *, context: Float[Tensor, "n context"] | None = None
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, " n"]]:
        """An event per key of ``rng`` with an estimate of its log-density, solved together as scores are.

        Raises:
            UsageError: gradients are recorded.
            DivergenceError: the adaptive solver ran out of steps.
        """
        self.refuse_gradients()
        options = self.Scoring()
        draws, size = self.draws(options), self.event.size
        z = self.base.sample(rng, dtype=self.norm.mean.dtype)
        given = self.given(context, z)

        def move(rows: slice) -> Tensor:
            c = None if given is None else given[rows]
            probes = rademacher(rng.rows(rows), draws, z[rows]) if draws else None
            field, start = augment(lambda t, x: self.rates(t, x, c, probes)[:2], z[rows], draws or 1)
            return integrate(field, start, 0.0, 1.0, options)

        end = torch.cat([move(rows) for rows in self._runs(rng.n, 1 + (draws or size))])
        x, ladj = self.norm.inverse(end[:, :size])
        return x.reshape(-1, *self.event.shape), self.base.log_prob(z) - end[:, size:].mean(dim=1) - ladj

    @torch.no_grad()
    def to_noise(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch noise"]:
        return self._flow(self.norm(x.flatten(1))[0], context, 1.0, 0.0, _TIGHT)

    @torch.no_grad()
    def from_noise(
        self, z: Float[Tensor, "batch noise"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        return self._events(self._flow(z, context, 0.0, 1.0, _TIGHT))

    def _flow(self, x: Tensor, context: Tensor | None, start: float, stop: float, options: SolverOptions) -> Tensor:
        given = self.given(context, x)

        def move(rows: slice) -> Tensor:
            c = None if given is None else given[rows]
            return integrate(lambda t, x: self.velocity(t, x, c), x[rows], start, stop, options)

        return torch.cat([move(rows) for rows in self._runs(len(x), 1)])

    def _events(self, x: Tensor) -> Tensor:
        return self.norm.inverse(x)[0].reshape(-1, *self.event.shape)

    def _runs(self, n: int, copies: int) -> list[slice]:
        return chunks(n, max(1, _FLOATS // (copies * self.config.width)))
