"""Planar flow: many bends, each along one direction."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.bijection import Bijection
from headwater.bijections.planar import Planar
from headwater.models.base import Paper
from headwater.models.flows.stack import LARGE_STEPS, Linear, StackConfig, StackedFlow

__all__ = ["PlanarFlow", "PlanarFlowConfig"]


class PlanarFlowConfig(StackConfig):
    """Architecture of a planar flow."""

    transforms: int = Field(32, ge=1, le=256, description="number of layers")
    linear: Linear = Field("none", description="what mixes the dimensions")


@final
class PlanarFlow(StackedFlow):
    """``x + û tanh(w·x + b)``, many times over.

    One layer bends space once: sharp or many-moded densities need more layers than is practical.
    """

    Config = PlanarFlowConfig
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

    config: PlanarFlowConfig

    def layer(self, features: int, context: int, number: int) -> Bijection:
        return Planar(features, context=context)
