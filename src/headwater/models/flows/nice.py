"""NICE: additive couplings, which keep volume."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.additive import Additive
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["NICE", "NICEConfig"]


class NICEConfig(UnivariateConfig):
    """Architecture of NICE."""

    kind: Kind = Field("coupling", description="what decides how an element moves")
    transforms: int = Field(8, ge=1, le=64, description="number of layers")


@final
class NICE(UnivariateFlow):
    """Couplings that shift: ``z_B = x_B + t(x_A)``; all change of volume is in the ActNorm and LU layers between them.

    Cannot pull modes apart: on separated clusters it leaves bridges of density between them.
    """

    Config = NICEConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "dinh2014nice",
            "NICE: Non-linear Independent Components Estimation",
            "Laurent Dinh, David Krueger, Yoshua Bengio",
            2014,
            "https://arxiv.org/abs/1410.8516",
        ),
    )

    config: NICEConfig

    def univariate(self, features: int) -> Univariate:
        return Additive()
