"""Multi-scale flow of pictures: Glow and Real NVP, with dequantization of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import initialize
from headwater.bijections.combinators import Compose
from headwater.bijections.logit import Logit
from headwater.distributions.bounds import bound_of_draws
from headwater.distributions.dequantization import Dequantizer
from headwater.distributions.normal import StandardNormal
from headwater.errors import UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    DataInitialized,
    Losses,
    Paper,
    Player,
)
from headwater.models.flows.codes import NoiseCodes
from headwater.models.flows.flow import Flow
from headwater.models.flows.given import Given
from headwater.models.flows.glow_options import GlowConfig, GlowScoring, pixel_values
from headwater.models.flows.joint import Joint
from headwater.models.flows.model import FlowSampling
from headwater.models.flows.multiscale import Sizes, multiscale
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["Glow", "GlowConfig", "GlowScoring"]

_NUMBERS_AT_ONCE = 2**20  # elements of pictures scored at once


@final
class Glow(Joint, NoiseCodes, DataInitialized):
    """``z = f(x; c)`` of pictures, level by level ``squeeze -> [ActNorm -> 1x1 convolution -> coupling] -> split``.

    Every latent is kept: what a level leaves behind is normalized given what goes on, so that ``z`` is a standard
    normal vector of the picture's size. Pictures of reals have an exact likelihood. Whole numbers ``v`` of
    ``0 .. L - 1`` become ``x = logit(α + (1 - 2α) (v + u) / L)`` with noise ``u ~ q(u | v)``, and

        log P(v | c) >= E_u[ log p(x | c) + log|dx/dv| - log q(u | v, c) ],

    the loss; scores take the importance-weighted bound of several draws. ``to_noise`` puts each number in the middle
    of its cell, ``from_noise`` gives whole numbers back.

    Args:
        config: :class:`GlowConfig`.
        event: A picture of one kind of pixel, real or of whole numbers, at least two of them.
        context: What the model is given; every coupling and prior sees it.

    Raises:
        UnsupportedEventError: not such a picture.
        UsageError: sides that cannot be halved ``levels`` times.
    """

    Config = GlowConfig
    Sampling = FlowSampling
    Scoring = GlowScoring
    encoding = Encoding.NATIVE
    monitor = "nll"
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 5e-3, "schedule": "cosine", "clip": 50.0},
        "training": {"batch_size": 64, "ema": 0.999},
    }
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "kingma2018glow",
            "Glow: Generative Flow with Invertible 1x1 Convolutions",
            "Diederik P. Kingma, Prafulla Dhariwal",
            2018,
            "https://arxiv.org/abs/1807.03039",
        ),
        Paper(
            "dinh2017realnvp",
            "Density Estimation Using Real NVP",
            "Laurent Dinh, Jascha Sohl-Dickstein, Samy Bengio",
            2017,
            "https://arxiv.org/abs/1605.08803",
        ),
        Paper(
            "ho2019flowpp",
            "Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design",
            "Jonathan Ho, Xi Chen, Aravind Srinivas, Yan Duan, Pieter Abbeel",
            2019,
            "https://arxiv.org/abs/1902.00275",
        ),
        Paper(
            "durkan2019neural",
            "Neural Spline Flows",
            "Conor Durkan, Artur Bekasov, Iain Murray, George Papamakarios",
            2019,
            "https://arxiv.org/abs/1906.04032",
        ),
    )

    config: GlowConfig

    def __init__(self, config: GlowConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self._given = Given(context, config.embedding)
        self.values = pixel_values(event)
        shape = (event.shape[0], event.shape[1], event.shape[2])
        sizes = Sizes(config.univariate, config.masks, config.steps, self._given.size, config.width, config.blocks)
        bijection = multiscale(shape, config.scales(shape), sizes)
        self.dequantizer: Dequantizer | None = None
        if self.values is not None:
            bijection = Compose(Logit(config.alpha), bijection)
            self.dequantizer = config.dequantizer(shape, len(self.values), self._given.size)
        self.flow = Flow(bijection, StandardNormal(event.size))

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def initialize(self, batch: Batch, rng: Rng) -> None:
        given = self._given(batch.context, batch.x)
        initialize(self.flow.bijection, self._reals(batch.x, given, rng)[0], given)

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self._log_prob(batch.x, self._given(batch.context, batch.x), rng).mean()
        return Losses(nll, {"nll": nll})

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        """``log p(x | c)`` in nats: exact for reals, the bound of ``draws`` dequantizations for whole numbers.

        Draw k of a picture is the same whatever the batch and the number of draws.

        Raises:
            UsageError: pictures of whole numbers and no ``rng``.
        """
        draws, given = GlowScoring.parse(budget, where="scoring").draws, self._given(context, x)
        if self.dequantizer is None:
            return Score(self.flow.log_prob(x, given), "exact")
        if rng is None:
            raise UsageError("The likelihood bound of 'glow' draws noise.", hint="Pass rng=Rng.of(seed, len(x)).")

        def log_weight(event: Tensor, keys: Rng) -> Tensor:
            return self._log_prob(x[event], None if given is None else given[event], keys)

        bound, stderr = bound_of_draws(log_weight, rng, draws, at_once=_NUMBERS_AT_ONCE // self.event.size)
        protocol: dict[str, str | int | float] = {
            "bound": "importance-weighted",
            "draws": draws,
            "dequantization": self.config.dequantization,
        }
        return Score(bound, "lower bound", stderr, protocol)

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = FlowSampling.parse(options, where="sampling")
        z = self.flow.base.sample(rng, temperature=chosen.temperature, dtype=next(self.parameters()).dtype)
        return self.from_noise(z, context=context)

    @property
    def reparameterized(self) -> bool:
        return self.values is None

    def sample_and_log_prob(
        self, rng: Rng, *, context: Float[Tensor, "n context"] | None = None
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, " n"]]:
        """A picture of reals per key of ``rng`` with its log-density in nats.

        Raises:
            UsageError: pictures of whole numbers, whose likelihood is only bounded.
        """
        if self.values is not None:
            raise UsageError(
                "A 'glow' of whole numbers bounds its likelihood and has none to give with a sample.",
                hint="Sample, then score: log_prob(x, rng=rng, draws=...).",
            )
        like = next(self.parameters())
        return self.flow.sample_and_log_prob(rng, self._given(context, like.new_zeros(rng.n)), dtype=like.dtype)

    def to_noise(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch noise"]:
        reals = x if self.values is None else (x - self.values.start + 0.5) / len(self.values)
        z: Tensor = self.flow.bijection(reals, self._given(context, x))[0]
        return z

    def from_noise(
        self, z: Float[Tensor, "batch noise"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        x: Tensor = self.flow.bijection.inverse(z, self._given(context, z))[0]
        if self.values is None:
            return x
        cell = (x * len(self.values)).floor().clamp(0, len(self.values) - 1)
        return cell + self.values.start

    def _log_prob(self, x: Tensor, given: Tensor | None, rng: Rng) -> Float[Tensor, " batch"]:
        """``log p(x | c)``, or its bound by one dequantization."""
        reals, gain = self._reals(x, given, rng)
        return self.flow.log_prob(reals, given) + gain

    def _reals(self, x: Tensor, given: Tensor | None, rng: Rng) -> tuple[Tensor, Tensor]:
        """Pictures in [0, 1] with ``-log q - D log L``; reals as they are."""
        if self.dequantizer is None or self.values is None:
            return x, x.new_zeros(x.shape[0])
        v, levels = x - self.values.start, len(self.values)
        u, log_q = self.dequantizer(v, given, rng)
        return (v + u) / levels, -log_q - self.event.size * math.log(levels)
