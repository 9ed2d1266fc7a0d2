"""Flow of Bernstein polynomials with increasing coefficients."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.bernstein import Bernstein
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["BernsteinFlow", "BernsteinFlowConfig"]


class BernsteinFlowConfig(UnivariateConfig):
    """Architecture of Bernstein flows."""

    kind: Kind = Field("autoregressive", description="what decides how an element moves")
    degree: int = Field(24, ge=1, le=64, description="degree of the polynomial")
    bound: float = Field(4.0, gt=0, le=100, description="the polynomials act on [-bound, bound]")


@final
class BernsteinFlow(UnivariateFlow):
    """``z_i = B_M(x_i; θ_i(x_{<i}))``: a Bernstein polynomial on a box, the identity outside.

    The inverse is found by Newton's method, element after element.
    """

    Config = BernsteinFlowConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "ramasinghe2021bernstein",
            "Robust Normalizing Flows using Bernstein-type Polynomials",
            "Sameera Ramasinghe, Kasun Fernando, Salman Khan, Nick Barnes",
            2021,
            "https://arxiv.org/abs/2102.03509",
        ),
    )

    config: BernsteinFlowConfig

    def univariate(self, features: int) -> Univariate:
        return Bernstein(self.config.degree, self.config.bound)
