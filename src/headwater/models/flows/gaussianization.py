"""Gaussianization flow: rotate, make every element normal, and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

from pydantic import Field

from headwater.bijections.bijection import Bijection
from headwater.bijections.combinators import Compose
from headwater.bijections.gaussianize import Gaussianize, Kernel
from headwater.bijections.householder import Householder
from headwater.models.base import Paper
from headwater.models.flows.model import FlowConfig, FlowModel

__all__ = ["GaussianizationFlow", "GaussianizationFlowConfig"]

_MOST_REFLECTIONS = 32


class GaussianizationFlowConfig(FlowConfig):
    """Architecture of a Gaussianization flow."""

    transforms: int = Field(10, ge=1, le=256, description="number of layers")
    components: int = Field(24, ge=1, le=512, description="kernels of the mixture of an element")
    kernel: Kernel = Field("normal", description="of the mixtures; logistic has heavier tails")
    width: int = Field(64, ge=1, le=4096, description="hidden width of the networks of the context")


@final
class GaussianizationFlow(FlowModel):
    """``x -> [rotation -> Φ^-1 of the distribution function of a mixture, element by element] x transforms -> z``.

    The mixtures start as kernel estimates of the data on its way through the layers, so that the flow is useful
    before its first step (rotation-based iterative Gaussianization); then everything is trained together.
    """

    Config = GaussianizationFlowConfig
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 2e-2, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 512, "ema": 0.999},
    }
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "meng2020gaussianization",
            "Gaussianization Flows",
            "Chenlin Meng, Yang Song, Jiaming Song, Stefano Ermon",
            2020,
            "https://arxiv.org/abs/2003.01941",
        ),
        Paper(
            "laparra2011iterative",
            "Iterative Gaussianization: From ICA to Random Rotations",
            "Valero Laparra, Gustavo Camps-Valls, Jesús Malo",
            2011,
            "https://arxiv.org/abs/1602.00229",
        ),
        Paper(
            "chen2000gaussianization",
            "Gaussianization",
            "Scott Saobing Chen, Ramesh A. Gopinath",
            2000,
            "https://papers.nips.cc/paper/1856-gaussianization",
        ),
    )

    config: GaussianizationFlowConfig

    def bijection(self, features: int, context: int) -> Bijection:
        config, layers = self.config, list[Bijection]()
        for _ in range(config.transforms):
            if features > 1:
                count = min(features + features % 2, _MOST_REFLECTIONS)
                layers.append(Householder(features, count, random=True))
            layers.append(
                Gaussianize(features, config.components, kernel=config.kernel, context=context, width=config.width)
            )
        return Compose(*layers)
