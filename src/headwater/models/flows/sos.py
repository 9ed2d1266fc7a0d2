"""Sum-of-squares flow: increasing polynomials."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.sum_of_squares import SumOfSquares
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["SOS", "SOSConfig"]


class SOSConfig(UnivariateConfig):
    """Architecture of SOS."""

    kind: Kind = Field("autoregressive", description="what decides how an element moves")
    squares: int = Field(3, ge=1, le=16, description="polynomials that are squared")
    degree: int = Field(3, ge=1, le=8, description="their degree")
    bound: float = Field(4.0, gt=0, le=100, description="the polynomials act on [-bound, bound]")


@final
class SOS(UnivariateFlow):
    """``z_i = c_i - B + b_i ∫_{-B}^{x_i} Σ_k p_k(u; θ_i(x_{<i}))^2 du`` with polynomials ``p_k``.

    ``b_i`` carries ``[-B, B]`` onto itself; beyond, ``z_i = c_i + x_i``. The inverse is found by Newton's method,
    element after element.
    """

    Config = SOSConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "jaini2019sos",
            "Sum-of-Squares Polynomial Flow",
            "Priyank Jaini, Kira A. Selby, Yaoliang Yu",
            2019,
            "https://arxiv.org/abs/1905.02325",
        ),
    )

    config: SOSConfig

    def univariate(self, features: int) -> Univariate:
        return SumOfSquares(self.config.squares, self.config.degree, self.config.bound)
