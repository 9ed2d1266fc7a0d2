"""Residual flow: each layer adds a network that stretches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, final

from pydantic import Field

from headwater.bijections.bijection import Bijection
from headwater.bijections.residual import Residual
from headwater.models.base import Paper
from headwater.models.flows.model import EstimatedScoring
from headwater.models.flows.stack import StackConfig, StackedFlow

__all__ = ["ResidualFlow", "ResidualFlowConfig"]

_EXACT_UP_TO = 32
_LIPSCHITZ, _LIPSCHITZ_ESTIMATED = 0.97, 0.9


class ResidualFlowConfig(StackConfig):
    """Architecture of a residual flow."""

    transforms: int = Field(10, ge=1, le=256, description="number of layers")
    width: int = Field(64, ge=1, le=4096, description="hidden width of the networks")
    hidden: int = Field(2, ge=1, le=8, description="hidden layers of a network")
    activation: Literal["sine", "lipswish"] = Field(
        "sine", description="of the networks; lipswish is the paper's and learns more slowly"
    )
    lipschitz: float | None = Field(
        None, gt=0, lt=1, description="how far a network may stretch; None: 0.97, or 0.9 where training estimates"
    )
    log_det: Literal["auto", "exact", "estimate"] = Field(
        "auto", description="in training; auto: exact where events or networks have at most 32 elements across"
    )
    terms: int = Field(16, ge=2, le=1000, description="terms of an estimated log-determinant in training")


@final
class ResidualFlow(StackedFlow):
    """``z = x + g(x)`` with ``g`` a network of Lipschitz constant below one, many times over.

    The inverse is a fixed point. Scores are exact (or estimates without bias, with ``draws``); training on
    events of many dimensions uses the first ``terms`` of a series for the log-determinant.
    """

    Config = ResidualFlowConfig
    Scoring = EstimatedScoring
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "behrmann2019invertible",
            "Invertible Residual Networks",
            "Jens Behrmann, Will Grathwohl, Ricky T. Q. Chen, David Duvenaud, Jörn-Henrik Jacobsen",
            2019,
            "https://arxiv.org/abs/1811.00995",
        ),
        Paper(
            "chen2019residual",
            "Residual Flows for Invertible Generative Modeling",
            "Ricky T. Q. Chen, Jens Behrmann, David Duvenaud, Jörn-Henrik Jacobsen",
            2019,
            "https://arxiv.org/abs/1906.02735",
        ),
    )

    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 5e-3, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 512, "ema": 0.999},
    }

    config: ResidualFlowConfig

    def layer(self, features: int, context: int, number: int) -> Bijection:
        config = self.config
        exact = config.log_det == "exact" or (config.log_det == "auto" and min(features, config.width) <= _EXACT_UP_TO)
        return Residual(
            features,
            context=context,
            width=config.width,
            hidden=config.hidden,
            lipschitz=config.lipschitz or (_LIPSCHITZ if exact else _LIPSCHITZ_ESTIMATED),
            activation=config.activation,
            terms=None if exact else config.terms,
        )
