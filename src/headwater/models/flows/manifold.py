"""A flow on rows of reals, positive numbers, intervals, angles, unit vectors and compositions together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.bijections.actnorm import ActNorm
from headwater.bijections.bijection import Bijection, initialize
from headwater.bijections.box_spline import BoxSpline
from headwater.bijections.charts.chart import Coordinate
from headwater.bijections.circular import TURN, Circular, CircularSpline
from headwater.bijections.combinators import Compose, Indexed
from headwater.bijections.elementwise import Elementwise
from headwater.bijections.lu import LULinear
from headwater.bijections.mixed import MixedAutoregressive, MixedCoupling
from headwater.bijections.moebius import Moebius
from headwater.bijections.permutation import Permutation
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.univariate import Univariate
from headwater.distributions.base import Base
from headwater.distributions.bases import build_base
from headwater.distributions.product import Product
from headwater.distributions.uniform import Uniform
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    DataInitialized,
    Losses,
    Paper,
    Player,
)
from headwater.models.flows.atlas import atlas_of
from headwater.models.flows.codes import NoiseCodes
from headwater.models.flows.flow import Flow
from headwater.models.flows.given import ContextConfig, Given
from headwater.models.flows.joint import Joint
from headwater.models.flows.model import FlowSampling
from headwater.models.flows.stack import AUTOREGRESSIVE_UP_TO, LU_UP_TO
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["ManifoldFlow", "ManifoldFlowConfig"]


class ManifoldFlowConfig(ContextConfig):
    """Architecture of a flow on mixed supports."""

    transforms: int = Field(5, ge=1, le=64, description="number of layers")
    kind: Literal["auto", "autoregressive", "coupling"] = Field(
        "auto", description="what decides how an element moves; auto: autoregressive up to 32 coordinates"
    )
    width: int = Field(128, ge=4, le=4096, description="hidden width of the networks")
    blocks: int = Field(2, ge=0, le=16, description="residual blocks of a network")
    activation: Literal["relu", "silu", "gelu", "elu"] = Field("relu", description="of the networks")
    bins: int = Field(16, ge=2, le=64, description="bins of a spline; centres of a Möbius map")
    bound: float = Field(4.0, gt=0, le=100, description="splines of reals act on [-bound, bound], beyond is identity")
    circle: Literal["spline", "moebius"] = Field("spline", description="what moves an angle")
    positive: Literal["log", "softplus"] = Field("log", description="how a positive number becomes a real")
    simplex: Literal["stick-breaking", "log-ratio"] = Field(
        "stick-breaking", description="coordinates of a composition; log-ratio: no part may be zero"
    )
    base: Literal["normal", "student-t", "mixture"] = Field("normal", description="density of the noise of reals")
    order_seed: int = Field(0, ge=0, lt=2**31, description="seed of the orders")


@final
class ManifoldFlow(Joint, NoiseCodes, DataInitialized):
    """Every element moves within its own set: reals by splines with tails, angles round a circle, the rest in a box.

    Charts give coordinates (:mod:`headwater.bijections.charts`); autoregressive or coupling layers move
    each by a map of its kind, given the others, of which angles are seen as cosine and sine; the noise is normal
    on reals and uniform on circles and boxes. The likelihood is exact, with respect to lengths of angles, surface
    on spheres, and the first ``K - 1`` parts of a composition. Codes and noise are the coordinates' noise.

    Args:
        config: Architecture.
        event: Shape and supports; none may be discrete.
        context: What the model is given.

    Raises:
        UnsupportedEventError: an element is discrete.
    """

    Config = ManifoldFlowConfig
    Sampling = FlowSampling
    encoding: ClassVar[Encoding] = Encoding.SUPPORTED
    monitor: ClassVar[str | None] = "nll"
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 2e-3, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 512, "ema": 0.999},
    }
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "rezende2020normalizing",
            "Normalizing Flows on Tori and Spheres",
            "Danilo Jimenez Rezende, George Papamakarios, Sébastien Racanière, Michael S. Albergo, Gurtej Kanwar,"
            " Phiala E. Shanahan, Kyle Cranmer",
            2020,
            "https://arxiv.org/abs/2002.02428",
        ),
        Paper(
            "durkan2019neural",
            "Neural Spline Flows",
            "Conor Durkan, Artur Bekasov, Iain Murray, George Papamakarios",
            2019,
            "https://arxiv.org/abs/1906.04032",
        ),
    )

    config: ManifoldFlowConfig

    def __init__(self, config: ManifoldFlowConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self._given = Given(context, config.embedding)
        self.atlas = atlas_of(event, soft=config.positive == "softplus", log_ratio=config.simplex == "log-ratio")
        kinds = self.atlas.coordinates
        self.flow = Flow(self._bijection(kinds), self._base(kinds))

    def _base(self, kinds: Sequence[Coordinate]) -> Product:
        places = {kind: [i for i, k in enumerate(kinds) if k == kind] for kind in dict.fromkeys(kinds)}
        return Product([self._noise(kind, len(own)) for kind, own in places.items()], list(places.values()))

    def _noise(self, kind: Coordinate, count: int) -> Base:
        if kind is Coordinate.LINE:
            return build_base(self.config.base, count)
        return Uniform(count, 0.0, TURN) if kind is Coordinate.CIRCLE else Uniform(count, -1.0, 1.0)

    def _bijection(self, kinds: Sequence[Coordinate]) -> Bijection:
        lines = [i for i, kind in enumerate(kinds) if kind is Coordinate.LINE]
        layers: list[Bijection] = []
        for number in range(self.config.transforms):
            layers += [*self._mixing(lines, len(kinds), number), self._layer(kinds, number)]
        return Compose(*layers, *(Indexed(ActNorm(len(lines)), lines, len(kinds)) for _ in lines[:1]))

    def _mixing(self, lines: Sequence[int], features: int, number: int) -> list[Bijection]:
        """What mixes the reals between layers; other elements must not be mixed."""
        if not lines:
            return []
        steps: list[Bijection] = [ActNorm(len(lines))]
        if len(lines) > 1:
            steps.append(Permutation.random(len(lines), self.config.order_seed + number))
            steps += [LULinear(len(lines))] if len(lines) <= LU_UP_TO else []
        return [Indexed(Compose(*steps), lines, features)]

    def _layer(self, kinds: Sequence[Coordinate], number: int) -> Bijection:
        config, features = self.config, len(kinds)
        maps = self._maps(kinds)
        sizes: dict[str, Any] = {
            "context": self._given.size,
            "width": config.width,
            "blocks": config.blocks,
            "activation": config.activation,
        }
        if features == 1:
            return Elementwise(maps[0], 1, **sizes)
        order = Permutation.random(features, config.order_seed + number).order.tolist()
        if config.kind == "coupling" or (config.kind == "auto" and features > AUTOREGRESSIVE_UP_TO):
            return MixedCoupling(maps, sorted(order[number % 2 :: 2]), **sizes)
        return MixedAutoregressive(maps, order=order, **sizes)

    def _maps(self, kinds: Sequence[Coordinate]) -> list[Univariate]:
        bins = self.config.bins
        circle: Circular = CircularSpline(bins) if self.config.circle == "spline" else Moebius(bins)
        maps: dict[Coordinate, Univariate] = {
            Coordinate.LINE: RationalQuadratic(bins, self.config.bound),
            Coordinate.CIRCLE: circle,
            Coordinate.BOX: BoxSpline(bins),
        }
        return [maps[kind] for kind in kinds]

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def initialize(self, batch: Batch, rng: Rng) -> None:
        u, _ = self.atlas(batch.x.flatten(1))
        initialize(self.flow.bijection, u, self._given(batch.context, batch.x))

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        u, ladj = self.atlas(batch.x.flatten(1))
        nll = -(self.flow.log_prob(u, self._given(batch.context, batch.x), rng) + ladj).mean()
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
        u, ladj = self.atlas(x.flatten(1))
        return self.flow.score(u, self._given(context, x)).shifted(ladj)

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = FlowSampling.parse(options, where="sampling")
        dtype = next(self.parameters()).dtype
        z = self.flow.base.sample(rng, temperature=chosen.temperature, dtype=dtype)
        return self.from_noise(z, context=context)

    @property
    def reparameterized(self) -> bool:
        return self.flow.base.reparameterized

    def sample_and_log_prob(
        self, rng: Rng, *, context: Float[Tensor, "n context"] | None = None
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, " n"]]:
        self.refuse_gradients()
        like = next(self.parameters())
        u, log_prob = self.flow.sample_and_log_prob(rng, self._given(context, like.new_zeros(rng.n)), dtype=like.dtype)
        x = self.atlas.inverse(u)
        return x.reshape(-1, *self.event.shape), log_prob + self.atlas(x)[1]

    def to_noise(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch noise"]:
        u, _ = self.atlas(x.flatten(1))
        z: Tensor = self.flow.bijection(u, self._given(context, x))[0]
        return z

    def from_noise(
        self, z: Float[Tensor, "batch noise"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        u, _ = self.flow.bijection.inverse(z, self._given(context, z))
        return self.atlas.inverse(u).reshape(-1, *self.event.shape)
