"""Neural spline flow: rational-quadratic splines in couplings or autoregressive layers."""

from __future__ import annotations

import math
from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.model import CompiledSampling
from headwater.models.flows.stack import UnivariateConfig, UnivariateFlow

__all__ = ["NSF", "NSFConfig"]

_BINS = ((3, 32), (8, 16), (math.inf, 8))


class NSFConfig(UnivariateConfig):
    """Architecture of a neural spline flow."""

    bins: int | None = Field(
        None, ge=2, le=64, description="bins of a spline; None: 32 up to 3 dimensions, 16 up to 8, else 8"
    )
    bound: float = Field(4.0, gt=0, le=100, description="the splines act on [-bound, bound], beyond is the identity")


@final
class NSF(UnivariateFlow):
    """Splines whose parameters a network reads from other elements, between linear layers and ActNorm.

    ``x -> [ActNorm -> permutation, LU -> splines] x transforms -> ActNorm -> z``. One-dimensional
    events have no other elements: their splines depend on the context alone. ``sample(n, rng=rng, compile=True)``
    compiles the splines first, which pays for many samples of autoregressive flows.
    """

    Config = NSFConfig
    Sampling = CompiledSampling
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

    config: NSFConfig

    def univariate(self, features: int) -> Univariate:
        bins = self.config.bins or next(bins for most, bins in _BINS if features <= most)
        return RationalQuadratic(bins, self.config.bound)
