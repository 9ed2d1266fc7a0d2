"""Sylvester flow: bends along many directions at once."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.bijection import Bijection
from headwater.bijections.sylvester import Sylvester
from headwater.models.base import Paper
from headwater.models.flows.stack import LARGE_STEPS, Linear, StackConfig, StackedFlow

__all__ = ["SylvesterFlow", "SylvesterFlowConfig"]


class SylvesterFlowConfig(StackConfig):
    """Architecture of a Sylvester flow."""

    transforms: int = Field(16, ge=1, le=256, description="number of layers")
    directions: int | None = Field(None, ge=1, le=256, description="directions of a layer; None: all, at most 32")
    linear: Linear = Field("none", description="what mixes the dimensions")


@final
class SylvesterFlow(StackedFlow):
    """``x + Q R tanh(S Q'x + b)``, several times over."""

    Config = SylvesterFlowConfig
    defaults = LARGE_STEPS
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "berg2018sylvester",
            "Sylvester Normalizing Flows for Variational Inference",
            "Rianne van den Berg, Leonard Hasenclever, Jakub M. Tomczak, Max Welling",
            2018,
            "https://arxiv.org/abs/1803.05649",
        ),
    )

    config: SylvesterFlowConfig

    def layer(self, features: int, context: int, number: int) -> Bijection:
        return Sylvester(features, self.config.directions or min(features, 32), context=context)
