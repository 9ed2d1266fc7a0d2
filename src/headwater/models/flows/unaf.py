"""Unconstrained autoregressive flow: integrals of positive networks."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.integrated import Integrated
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["UNAF", "UNAFConfig"]


class UNAFConfig(UnivariateConfig):
    """Architecture of UNAF."""

    kind: Kind = Field("autoregressive", description="what decides how an element moves")
    transforms: int = Field(3, ge=1, le=64, description="number of layers")
    summary: int = Field(12, ge=1, le=256, description="numbers that tell the integrand about the elements before")
    integrand: int = Field(32, ge=4, le=512, description="hidden width of the integrand")
    nodes: int = Field(24, ge=4, le=128, description="points of the integral")


@final
class UNAF(UnivariateFlow):
    """``z_i = c_i + ∫_0^{x_i} g(u; θ_i(x_{<i})) du`` with a positive network ``g`` that the elements of a layer share.

    The inverse is found by Newton's method, element after element.
    """

    Config = UNAFConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "wehenkel2019umnn",
            "Unconstrained Monotonic Neural Networks",
            "Antoine Wehenkel, Gilles Louppe",
            2019,
            "https://arxiv.org/abs/1908.05164",
        ),
    )

    config: UNAFConfig

    def univariate(self, features: int) -> Univariate:
        return Integrated(self.config.summary, self.config.integrand, self.config.nodes)
