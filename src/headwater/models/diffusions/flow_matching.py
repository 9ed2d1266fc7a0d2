"""Conditional flow matching on the straight path from noise to data."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.errors import UnsupportedEventError, UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    DataInitialized,
    Density,
    GenerativeModel,
    Gradual,
    Invertible,
    Losses,
    Paper,
    Player,
)
from headwater.models.diffusions.guidance import guided
from headwater.models.diffusions.options import FlowMatchingConfig, Sampling, Scoring
from headwater.models.diffusions.paths import TIMES, interpolate, target
from headwater.models.diffusions.velocity import build_velocity
from headwater.models.ode.likelihood import estimate, log_likelihood, rademacher
from headwater.models.ode.solve import SolverOptions, chunks, integrate
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["FlowMatching"]

_FLOATS = 1 << 24  # numbers held at once, per layer, when sampling
_TRACED = 1 << 21  # the same when scoring, which keeps all layers for the trace
_LOOKED_AT = 32  # steps in all where the way is looked at: a grid has no events that take a thousand
_ROUND_TRIP = 1e-6  # tolerance of the codes; sampling needs less


class FlowMatching(GenerativeModel, Density, Invertible, Gradual, DataInitialized):
    """A velocity field v whose flow ``dx/dt = v(x, t)`` carries standard normal noise (t = 0) to data (t = 1).

    Training regresses v on the velocity of straight lines, ``E |v((1 - t) x0 + t x1, t, c) - (x1 - x0)|^2`` over noise
    x0, data x1 and times t; no equation is solved while training. Each squared error is weighted by
    ``s(t)^2 / d^2`` of :class:`~headwater.models.diffusions.velocity.PreconditionedVelocity`, so that every element and
    every time counts in units of what can be learned there. Sampling and likelihood solve the equation.

    Raises:
        UnsupportedEventError: an element of the event is not real.

    >>> model = FlowMatching(FlowMatchingConfig(width=16, blocks=1), EventSpec.real(2), ContextSpec())
    >>> model.sample(3, rng=Rng.of(0, 3)).shape
    torch.Size([3, 2])
    """

    config: FlowMatchingConfig

    Config = FlowMatchingConfig
    Sampling = Sampling
    Scoring = Scoring
    encoding = Encoding.REAL  # pixels by logit: likelihoods gain where many lie at the ends of their range
    monitor = "loss"
    papers = (
        Paper(
            "lipman2023flow",
            "Flow Matching for Generative Modeling",
            "Yaron Lipman, Ricky T. Q. Chen, Heli Ben-Hamu, Maximilian Nickel, Matt Le",
            2023,
            "https://arxiv.org/abs/2210.02747",
        ),
        Paper(
            "liu2023rectified",
            "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
            "Xingchao Liu, Chengyue Gong, Qiang Liu",
            2023,
            "https://arxiv.org/abs/2209.03003",
        ),
        Paper(
            "albergo2023interpolants",
            "Building Normalizing Flows with Stochastic Interpolants",
            "Michael S. Albergo, Eric Vanden-Eijnden",
            2023,
            "https://arxiv.org/abs/2209.15571",
        ),
        Paper(
            "ho2022guidance",
            "Classifier-Free Diffusion Guidance",
            "Jonathan Ho, Tim Salimans",
            2022,
            "https://arxiv.org/abs/2207.12598",
        ),
    )
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 2e-3, "betas": (0.9, 0.99), "schedule": "cosine", "clip": 1.0},
        "training": {"batch_size": 256, "ema": 0.999, "patience": 20},
    }
    stages_are_events: ClassVar[bool] = True
    picture_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {"training": {"batch_size": 64}}

    def __init__(self, config: FlowMatchingConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        if not event.is_real:
            raise UnsupportedEventError(
                f"Flow matching needs real elements, got {event}.", hint="Encode the data with the real encoding."
            )
        self.config, self.event, self.context = config, event, context
        self.velocity = build_velocity(config, event, context)

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def initialize(self, batch: Batch, rng: Rng) -> None:
        self.velocity.fit_scales(batch.x)

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        x1 = batch.x
        t = TIMES[self.config.time or ("uniform" if self.event.is_image else "late")](rng, x1.dtype)
        x0 = rng.normal("noise", *x1.shape[1:], dtype=x1.dtype)
        v = self.velocity(t, interpolate(x0, x1, t), batch.context)
        square = (v - target(x0, x1)).square()
        total = (square * self.velocity.weight(t, x1)).mean()
        return Losses(total, {"loss": total.detach(), "velocity": square.detach().mean()})

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        """``n`` new events by solving from noise to data.

        Options: ``solver``, ``steps``, ``rtol``, ``atol``, ``guidance`` (see :class:`Sampling`).

        Raises:
            ConfigError: an unknown option or a value outside its bounds.
            UsageError: a context or guidance that the model does not take.
            DivergenceError: the adaptive solver ran out of steps.
        """
        chosen = Sampling.parse(options, where="sampling")
        if chosen.guidance != 1 and self.context.size == 0:
            raise UsageError(
                "Guidance needs a context, and this model was trained without one.",
                hint="Leave out guidance, or train on data with labels.",
            )
        noise = rng.normal("noise", *self.event.shape, dtype=self.velocity.mean.dtype)
        return self._flow(noise, context, 0.0, 1.0, chosen, chosen.guidance)

    @torch.no_grad()
    def to_noise(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch noise"]:
        tight = SolverOptions(rtol=_ROUND_TRIP, atol=_ROUND_TRIP)
        return self._flow(x, context, 1.0, 0.0, tight).flatten(1)

    @torch.no_grad()
    def from_noise(
        self, z: Float[Tensor, "batch noise"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        tight = SolverOptions(rtol=_ROUND_TRIP, atol=_ROUND_TRIP)
        return self._flow(z.reshape(-1, *self.event.shape), context, 0.0, 1.0, tight)

    @torch.no_grad()
    def stages(
        self, z: Float[Tensor, "batch noise"], count: int, *, context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch noise"], ...]:
        x, found = z.reshape(-1, *self.event.shape), [z]
        times = torch.linspace(0, 1, count).tolist()
        options = SolverOptions(solver="rk4", steps=max(1, _LOOKED_AT // (count - 1)))
        for start, stop in pairwise(times):
            x = self._flow(x, context, start, stop, options)
            found.append(x.flatten(1))
        return tuple(found)

    @torch.no_grad()
    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        """``log p(x | context)`` by the ODE, an estimate in two ways, both stated in the score.

        The equation is solved numerically: ``ode_error`` in the protocol is the mean change in nats, over the first
        64 events, from a coarser solution (half the steps, or tenfold tolerances) to this one. Rows of more than
        64 elements and pictures of more than 16 have their trace estimated by ``draws`` random probes, unless
        ``trace="exact"`` is asked for; ``stderr`` is the standard error of that.

        Raises:
            ConfigError: an unknown option or a value outside its bounds.
            UsageError: ``rng`` is missing where the trace needs probes; a context the model does not take.
            DivergenceError: the adaptive solver ran out of steps.
        """
        chosen = Scoring.parse(budget, where="scoring")
        context = self._context(context, len(x))
        exact = chosen.exact(self.event)
        if rng is None and not exact:
            raise UsageError(
                f"The likelihood of events of {self.event.size} elements draws random probes and needs rng=.",
                hint="Pass rng=Rng.of(seed, len(x)), or trace='exact'.",
            )

        def columns(rows: slice, options: SolverOptions) -> Tensor:
            velocity = guided(self.velocity, None if context is None else context[rows], 1.0)
            probes = None if rng is None or exact else rademacher(rng.rows(rows), chosen.draws, x[rows])
            return log_likelihood(velocity, x[rows], options, probes)

        return estimate(columns, self._chunks(len(x), _TRACED), chosen, draws=None if exact else chosen.draws)

    def _flow(
        self,
        x: Tensor,
        context: Tensor | None,
        start: float,
        stop: float,
        options: SolverOptions,
        guidance: float = 1.0,
    ) -> Tensor:
        context = self._context(context, len(x))
        done = []
        for rows in self._chunks(len(x), _FLOATS):
            velocity = guided(self.velocity, None if context is None else context[rows], guidance)
            done.append(integrate(velocity, x[rows], start, stop, options))
        return torch.cat(done)

    def _context(self, context: Tensor | None, n: int) -> Tensor | None:
        if context is not None and context.shape != (n, self.context.size):
            raise UsageError(
                f"Expected a context of shape {(n, self.context.size)}, got {tuple(context.shape)}.",
                hint="One vector per event; None for an unconditional draw.",
            )
        return context

    def _chunks(self, n: int, floats: int) -> list[slice]:
        """Runs of rows of which a layer of the network holds at most so many numbers; one empty run of no rows."""
        return chunks(n, max(1, floats // self.velocity.field.footprint))
