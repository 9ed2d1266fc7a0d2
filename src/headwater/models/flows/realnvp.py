"""RealNVP: affine couplings."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.affine import Affine
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["RealNVP", "RealNVPConfig"]


class RealNVPConfig(UnivariateConfig):
    """Architecture of RealNVP."""

    kind: Kind = Field("coupling", description="what decides how an element moves")
    transforms: int = Field(8, ge=1, le=64, description="number of layers")


@final
class RealNVP(UnivariateFlow):
    """Couplings that scale and shift: ``z_B = x_B exp(s(x_A)) + t(x_A)``; one pass of the networks both ways."""

    Config = RealNVPConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "dinh2017realnvp",
            "Density Estimation Using Real NVP",
            "Laurent Dinh, Jascha Sohl-Dickstein, Samy Bengio",
            2017,
            "https://arxiv.org/abs/1605.08803",
        ),
    )

    config: RealNVPConfig

    def univariate(self, features: int) -> Univariate:
        return Affine()
