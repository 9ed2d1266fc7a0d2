"""Flows of linear, quadratic or cubic splines; rational-quadratic ones are ``nsf``."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, final

from pydantic import Field

from headwater.bijections.cubic_spline import CubicSpline
from headwater.bijections.linear_spline import LinearSpline
from headwater.bijections.quadratic_spline import QuadraticSpline
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import UnivariateConfig, UnivariateFlow

__all__ = ["SplineFlow", "SplineFlowConfig"]

_SPLINES: dict[str, Callable[[int, float], Univariate]] = {
    "linear": LinearSpline,
    "quadratic": QuadraticSpline,
    "cubic": CubicSpline,
}


class SplineFlowConfig(UnivariateConfig):
    """Architecture of a spline flow."""

    spline: Literal["linear", "quadratic", "cubic"] = Field("quadratic", description="degree of the splines")
    bins: int = Field(16, ge=1, le=128, description="bins of a spline")
    bound: float = Field(4.0, gt=0, le=100, description="the splines act on [-bound, bound], beyond is the identity")


@final
class SplineFlow(UnivariateFlow):
    """Layers of monotone splines whose parameters a network reads from other elements.

    Linear splines give densities that jump, and learn slowly where they do; ``nsf`` is usually better.
    """

    Config = SplineFlowConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "muller2019neural",
            "Neural Importance Sampling",
            "Thomas Müller, Brian McWilliams, Fabrice Rousselle, Markus Gross, Jan Novák",
            2019,
            "https://arxiv.org/abs/1808.03856",
        ),
        Paper(
            "durkan2019cubic",
            "Cubic-Spline Flows",
            "Conor Durkan, Artur Bekasov, Iain Murray, George Papamakarios",
            2019,
            "https://arxiv.org/abs/1906.02145",
        ),
    )

    config: SplineFlowConfig

    def univariate(self, features: int) -> Univariate:
        return _SPLINES[self.config.spline](self.config.bins, self.config.bound)
