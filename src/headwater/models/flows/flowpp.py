"""Couplings by the distribution function of a mixture of logistics, as in Flow++."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.mixture_cdf import MixtureCDF
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["FlowPP", "FlowPPConfig"]


class FlowPPConfig(UnivariateConfig):
    """Architecture of mixture couplings."""

    kind: Kind = Field("coupling", description="what decides how an element moves")
    components: int = Field(8, ge=1, le=64, description="logistics of a mixture")


@final
class FlowPP(UnivariateFlow):
    """``z_B = e^a logit F(x_B; θ(x_A)) + b`` with ``F`` the distribution function of a mixture of logistics.

    The inverse is found by Newton's method.
    """

    Config = FlowPPConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "ho2019flowpp",
            "Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design",
            "Jonathan Ho, Xi Chen, Aravind Srinivas, Yan Duan, Pieter Abbeel",
            2019,
            "https://arxiv.org/abs/1902.00275",
        ),
    )

    config: FlowPPConfig

    def univariate(self, features: int) -> Univariate:
        return MixtureCDF(self.config.components)
