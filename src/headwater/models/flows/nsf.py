"""Neural spline flow: rational-quadratic splines in couplings or autoregressive layers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

from pydantic import Field

from headwater.bijections.actnorm import ActNorm
from headwater.bijections.autoregressive import Autoregressive
from headwater.bijections.bijection import Bijection
from headwater.bijections.combinators import Compose
from headwater.bijections.coupling import Coupling
from headwater.bijections.elementwise import Elementwise
from headwater.bijections.lu import LULinear
from headwater.bijections.permutation import Permutation
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.models.base import Paper
from headwater.models.flows.model import FlowConfig, FlowModel

__all__ = ["NSF", "NSFConfig"]

_AUTOREGRESSIVE_UP_TO = 32
_LU_UP_TO = 128
_BINS = ((3, 32), (8, 16), (math.inf, 8))


class NSFConfig(FlowConfig):
    """Architecture of a neural spline flow."""

    kind: Literal["auto", "coupling", "autoregressive"] = Field(
        "auto", description="what decides the splines; auto: autoregressive up to 32 dimensions, coupling beyond"
    )
    transforms: int = Field(5, ge=1, le=64, description="number of spline layers")
    bins: int | None = Field(
        None, ge=2, le=64, description="bins of a spline; None: 32 up to 3 dimensions, 16 up to 8, else 8"
    )
    bound: float = Field(4.0, gt=0, le=100, description="the splines act on [-bound, bound], beyond is the identity")
    width: int = Field(128, ge=4, le=4096, description="hidden width of the networks")
    blocks: int = Field(2, ge=0, le=16, description="residual blocks of a network")
    activation: Literal["relu", "silu", "gelu", "elu"] = Field("relu", description="of the networks")
    linear: Literal["auto", "lu", "permutation", "none"] = Field(
        "auto", description="what mixes the dimensions between layers; auto: LU up to 128 dimensions, else permutations"
    )
    order_seed: int = Field(0, ge=0, lt=2**31, description="seed of the permutations")


@final
class NSF(FlowModel):
    """Splines whose parameters a network reads from other elements, between linear layers and ActNorm.

    ``x -> [ActNorm -> permutation, LU -> splines] x transforms -> ActNorm -> z``. One-dimensional
    events have no other elements: their splines depend on the context alone.
    """

    Config = NSFConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "durkan2019neural",
            "Neural Spline Flows",
            "Conor Durkan, Artur Bekasov, Iain Murray, George Papamakarios",
            2019,
            "https://arxiv.org/abs/1906.04032",
        ),
        Paper(
            "kingma2018glow",
            "Glow: Generative Flow with Invertible 1x1 Convolutions",
            "Diederik P. Kingma, Prafulla Dhariwal",
            2018,
            "https://arxiv.org/abs/1807.03039",
        ),
    )
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 2e-3, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 512, "ema": 0.999},
    }

    config: NSFConfig

    def bijection(self, features: int, context: int) -> Bijection:
        layers: list[Bijection] = []
        for number in range(self.config.transforms):
            layers += [ActNorm(features), *self._mixing(features, number), self._splines(features, context, number)]
        return Compose(*layers, ActNorm(features))

    def _mixing(self, features: int, number: int) -> tuple[Bijection, ...]:
        linear = self.config.linear
        if linear == "auto":
            linear = "lu" if features <= _LU_UP_TO else "permutation"
        if features == 1 or linear == "none":
            return ()
        permutation = Permutation.random(features, self.config.order_seed + number)
        return (permutation, LULinear(features)) if linear == "lu" else (permutation,)

    def _splines(self, features: int, context: int, number: int) -> Bijection:
        config = self.config
        bins = config.bins or next(bins for most, bins in _BINS if features <= most)
        splines = RationalQuadratic(bins, config.bound)
        width, blocks, activation = config.width, config.blocks, config.activation
        kind = config.kind
        if kind == "auto":
            kind = "autoregressive" if features <= _AUTOREGRESSIVE_UP_TO else "coupling"
        if features == 1:
            return Elementwise(splines, 1, context=context, width=width, blocks=blocks, activation=activation)
        if kind == "autoregressive":
            return Autoregressive(splines, features, context=context, width=width, blocks=blocks, activation=activation)
        moved = range(number % 2, features, 2)
        return Coupling(splines, features, moved, context=context, width=width, blocks=blocks, activation=activation)
