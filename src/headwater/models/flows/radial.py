"""Radial flow: events drawn to centres or pushed from them."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.bijection import Bijection
from headwater.bijections.radial import Radial
from headwater.models.base import Paper
from headwater.models.flows.stack import LARGE_STEPS, Linear, StackConfig, StackedFlow

__all__ = ["RadialFlow", "RadialFlowConfig"]


class RadialFlowConfig(StackConfig):
    """Architecture of a radial flow."""

    transforms: int = Field(32, ge=1, le=256, description="number of layers")
    linear: Linear = Field("none", description="what mixes the dimensions")


@final
class RadialFlow(StackedFlow):
    """``x + β (x - x_0) / (α + |x - x_0|)``, many times over.

    Each layer changes the density about one point: sharp or many-moded densities need more layers than is practical.
    """

    Config = RadialFlowConfig
    defaults = LARGE_STEPS
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "rezende2015variational",
            "Variational Inference with Normalizing Flows",
            "Danilo Jimenez Rezende, Shakir Mohamed",
            2015,
            "https://arxiv.org/abs/1505.05770",
        ),
    )

    config: RadialFlowConfig

    def layer(self, features: int, context: int, number: int) -> Bijection:
        return Radial(features, context=context)
