"""Argmax flow: one continuous flow for rows of reals, whole numbers, categories and coins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from headwater.bijections.affine import Affine
from headwater.bijections.bijection import Bijection, initialize
from headwater.bijections.combinators import Compose
from headwater.bijections.coupling import Coupling
from headwater.bijections.elementwise import Elementwise
from headwater.distributions.bounds import bound_of_draws
from headwater.distributions.heads import Heads
from headwater.distributions.normal import StandardNormal
from headwater.errors import UnsupportedEventError, UsageError
from headwater.events import ContextSpec, Encoding, EventSpec, Support
from headwater.models.base import (
    Batch,
    DataInitialized,
    Density,
    GenerativeModel,
    Losses,
    ModelConfig,
    Options,
    Paper,
    Player,
)
from headwater.models.flows.argmax_parts import Categories, Part, parts_of
from headwater.models.flows.given import ContextConfig
from headwater.models.flows.model import FlowModel
from headwater.models.flows.stack import Kind, Linear
from headwater.models.registry import load_class
from headwater.networks.columns import Columns
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["ArgmaxConfig", "ArgmaxFlow", "ArgmaxSampling", "ArgmaxScoring"]

_ROWS_AT_ONCE = 2**15
_SUPPORTED = frozenset(Support) - {Support.CIRCLE, Support.SPHERE, Support.SIMPLEX}


class ArgmaxConfig(ContextConfig):
    """Architecture of an argmax flow."""

    flow: Literal["nsf", "realnvp", "maf", "flowpp", "sos", "bernstein"] = Field(
        "nsf", description="the flow of the reals that stand for the row"
    )
    kind: Kind = Field("auto", description="of its layers, see nsf")
    transforms: int = Field(5, ge=1, le=64, description="its layers")
    linear: Linear = Field("auto", description="what mixes the dimensions between its layers")
    width: int = Field(128, ge=4, le=4096, description="hidden width of all networks")
    blocks: int = Field(2, ge=0, le=16, description="residual blocks of the flow's networks")
    categories: Categories = Field(
        "cells",
        description="argmax: a real per class; digits: a real per binary digit; cells: one real, cut into classes in"
        " their order",
    )
    posterior: int = Field(2, ge=0, le=16, description="couplings of the distribution of the reals given the row")


class ArgmaxSampling(Options):
    """Options of :meth:`ArgmaxFlow.sample`."""

    temperature: float = Field(1.0, ge=0, le=10, description="spread of the noise: below one is safer, less diverse")


class ArgmaxScoring(Options):
    """Budget of :meth:`ArgmaxFlow.log_prob`."""

    draws: int = Field(32, ge=1, le=1_000_000, description="importance samples per event")


@final
class ArgmaxFlow(GenerativeModel, Density, DataInitialized):
    """``p(x | c) = integral p(v | c) 1[x = drop(v)] dv``: a flow ``p(v)`` on reals, of which regions stand for values.

    Reals stand for themselves, the sign of a real for a coin, the argmax of several (or the signs of few) for a
    category, a cell of the line for a whole number; see ``categories``. So one flow models a whole table row, and
    its samples are rows without any rounding or clamping. Likelihoods of discrete elements are bounds:

        log p(x) >= E_q[log p(v) - log q(v | x)],   v = T_x(u),   u ~ q(u | x)

    with an affine coupling flow ``q`` given the whole row and the context and the thresholds ``T_x`` of
    :mod:`headwater.bijections.threshold`. Scores average ``draws`` importance weights, which tightens the bound. Rows
    of continuous elements alone have exact likelihoods.

    Raises:
        UnsupportedEventError: elements on circles, spheres or simplices.

    >>> from headwater.rng import Rng
    >>> from headwater.events import Segment
    >>> row = EventSpec(shape=(2,), segments=(Segment(), Segment(support=Support.CATEGORICAL, classes=3)))
    >>> model = ArgmaxFlow(ArgmaxConfig(transforms=1, width=8), row, ContextSpec())
    >>> model.sample(4, rng=Rng.of(0, 4)).shape
    torch.Size([4, 2])
    """

    Config: ClassVar[type[ModelConfig]] = ArgmaxConfig
    Sampling: ClassVar[type[Options]] = ArgmaxSampling
    Scoring: ClassVar[type[Options]] = ArgmaxScoring
    encoding: ClassVar[Encoding] = Encoding.NATIVE
    monitor: ClassVar[str | None] = "nelbo"
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "hoogeboom2021argmax",
            "Argmax Flows and Multinomial Diffusion: Learning Categorical Distributions",
            "Emiel Hoogeboom, Didrik Nielsen, Priyank Jaini, Patrick Forré, Max Welling",
            2021,
            "https://arxiv.org/abs/2102.05379",
        ),
        Paper(
            "ho2019flowpp",
            "Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design",
            "Jonathan Ho, Xi Chen, Aravind Srinivas, Yan Duan, Pieter Abbeel",
            2019,
            "https://arxiv.org/abs/1902.00275",
        ),
        Paper(
            "burda2016iwae",
            "Importance Weighted Autoencoders",
            "Yuri Burda, Roger Grosse, Ruslan Salakhutdinov",
            2016,
            "https://arxiv.org/abs/1509.00519",
        ),
    )
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 2e-3, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 512, "ema": 0.999},
    }

    config: ArgmaxConfig

    def __init__(self, config: ArgmaxConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        wrong = sorted({segment.support.value for segment in event.segments} - {s.value for s in _SUPPORTED})
        if wrong:
            raise UnsupportedEventError(
                f"An argmax flow takes reals, whole numbers, categories and coins, got elements on a {wrong[0]}.",
                hint="Describe them as reals in the schema.",
            )
        self.config, self.event, self.context = config, event, context
        found = parts_of(event, config.categories)
        self.parts = nn.ModuleList(part for part, _ in found)
        everything = [element for _, members in found for element in members]
        self.elements = nn.ModuleList(Columns(members, of=len(everything)) for _, members in found)
        self.order = Columns.inverse(everything)
        self.noise = sum(part.noise for part, _ in found)
        self.heads = Heads(event)
        self.base = StandardNormal(self.noise)
        self.posterior = self._posterior() if self.noise else None
        self.prior = self._prior(sum(part.width for part, _ in found))

    def _prior(self, width: int) -> FlowModel:
        config = self.config
        cls = load_class(config.flow)
        settings = config.model_dump(include={"kind", "transforms", "linear", "width", "blocks", "embedding"})
        prior = cls(cls.Config.parse(settings, where="model"), EventSpec.real(width), self.context)
        assert isinstance(prior, FlowModel)
        return prior

    def _posterior(self) -> Bijection:
        """From normal noise to ``u`` given the features of the row and its context."""
        sizes: dict[str, Any] = {"width": self.config.width, "blocks": 1}
        sizes["context"] = sum(self.heads.feature_sizes) + self.context.size
        couplings = self.config.posterior if self.noise > 1 else 0
        moves = (range(number % 2, self.noise, 2) for number in range(couplings))
        layers = (Coupling(Affine(), self.noise, moved, **sizes) for moved in moves)
        return Compose(*layers, Elementwise(Affine(), self.noise, **sizes))

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    @torch.no_grad()
    def initialize(self, batch: Batch, rng: Rng) -> None:
        for part, x in self._shares_of(batch.x.flatten(1)):
            part.fit(x)
        v, _ = self.lift(batch.x, batch.context, rng)
        initialize(self.prior.flow.bijection, v, self.prior.given(batch.context, v))

    def lift(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None, rng: Rng
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, " batch"]]:
        """A draw of the reals ``v`` that stand for each row, and ``-log q(v | x, c)`` in nats."""
        flat = x.reshape(len(x), self.event.size)
        u, weight = flat[:, :0], flat.new_zeros(len(x))
        if self.posterior is not None:
            # drawn in float32, so that a float64 model scores the same draws
            noise = rng.normal("noise", self.noise).to(flat.dtype)
            u, ladj = self.posterior(noise, self._seen(flat, context))
            weight = ladj - self.base.log_prob(noise)
        lifted, start = [], 0
        for number, (part, own) in enumerate(self._shares_of(flat)):
            v, ladj = part.lift(own, u[:, start : start + part.noise], rng.fold(number))
            start += part.noise
            lifted.append(v)
            weight = weight + ladj
        return torch.cat(lifted, dim=1), weight

    def drop(self, v: Float[Tensor, "batch width"]) -> Float[Tensor, "batch *event"]:
        """The row that the reals ``v`` stand for."""
        parts = [part for part in self.parts if isinstance(part, Part)]
        pieces = torch.split(v, [part.width for part in parts], dim=1)
        x = torch.cat([part.drop(piece) for part, piece in zip(parts, pieces, strict=True)], dim=1)
        return self.order(x).reshape(-1, *self.event.shape)

    def _log_weight(self, x: Tensor, context: Tensor | None, rng: Rng) -> Float[Tensor, " batch"]:
        """``log p(v) - log q(v | x)`` of one draw of ``v``."""
        v, weight = self.lift(x, context, rng)
        found: Tensor = self.prior.flow.log_prob(v, self.prior.given(context, v)) + weight
        return found

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nelbo = -self._log_weight(batch.x, batch.context, rng.fold("loss")).mean()
        return Losses(nelbo, {"nelbo": nelbo.detach()})

    @torch.no_grad()
    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        """The importance-weighted bound of ``draws`` draws, without gradients; exact where nothing is discrete.

        Draw k of an event is the same whatever the batch and the number of draws.

        Raises:
            UsageError: no ``rng``, where there is something to draw.
        """
        draws = ArgmaxScoring.parse(budget, where="scoring").draws
        if self.posterior is None:
            return Score(self._log_weight(x, context, Rng.of(0, len(x), device=x.device)), "exact")
        if rng is None:
            raise UsageError("The likelihood bound of an argmax flow draws.", hint="Pass rng=Rng.of(seed, len(x)).")

        def log_weight(event: Tensor, keys: Rng) -> Tensor:
            return self._log_weight(x[event], None if context is None else context[event], keys)

        bound, stderr = bound_of_draws(log_weight, rng, draws, at_once=_ROWS_AT_ONCE)
        return Score(bound, "lower bound", stderr, {"bound": "importance-weighted", "draws": draws})

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = ArgmaxSampling.parse(options, where="sampling")
        return self.drop(self.prior.sample(n, context=context, rng=rng, temperature=chosen.temperature))

    def _shares_of(self, flat: Tensor) -> list[tuple[Part, Tensor]]:
        """Each part with its own elements of the row."""
        found: list[tuple[Part, Tensor]] = []
        for part, elements in zip(self.parts, self.elements, strict=True):
            assert isinstance(part, Part)
            found.append((part, elements(flat)))
        return found

    def _seen(self, flat: Tensor, context: Tensor | None) -> Tensor:
        """What the posterior is given: the row's features and the context, zeros where there is none."""
        features = self.heads.features(flat)
        if not self.context.size:
            return features
        absent = flat.new_zeros(len(flat), self.context.size)
        return torch.cat([features, absent if context is None else context.to(flat.dtype)], dim=1)
