"""Block neural autoregressive flow: one network of all elements, increasing in each."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.bijection import Bijection
from headwater.bijections.block_autoregressive import BlockAutoregressive
from headwater.models.base import Paper
from headwater.models.flows.stack import LARGE_STEPS, StackConfig, StackedFlow

__all__ = ["BNAF", "BNAFConfig"]


class BNAFConfig(StackConfig):
    """Architecture of BNAF."""

    transforms: int = Field(3, ge=1, le=64, description="number of networks")
    hidden: int = Field(16, ge=1, le=256, description="hidden units per element")
    layers: int = Field(2, ge=1, le=8, description="hidden layers of a network")


@final
class BNAF(StackedFlow):
    """``z = f(x)`` by masked networks whose blocks of an element's own units are positive.

    Scores in one pass. Sampling solves for one element after another and is slow: a density estimator.
    """

    Config = BNAFConfig
    defaults = LARGE_STEPS
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "decao2019bnaf",
            "Block Neural Autoregressive Flow",
            "Nicola De Cao, Ivan Titov, Wilker Aziz",
            2019,
            "https://arxiv.org/abs/1904.04676",
        ),
    )

    config: BNAFConfig

    def layer(self, features: int, context: int, number: int) -> Bijection:
        return BlockAutoregressive(features, context=context, hidden=self.config.hidden, layers=self.config.layers)
