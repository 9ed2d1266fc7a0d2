"""Neural autoregressive flow: small increasing networks, each given the elements before it."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.deep_sigmoidal import DeepSigmoidal
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["NAF", "NAFConfig"]


class NAFConfig(UnivariateConfig):
    """Architecture of NAF."""

    kind: Kind = Field("autoregressive", description="what decides how an element moves")
    transforms: int = Field(3, ge=1, le=64, description="number of layers")
    layers: int = Field(1, ge=1, le=4, description="layers of sigmoids; more than one: deep dense")
    sigmoids: int = Field(16, ge=1, le=64, description="sigmoids per layer")


@final
class NAF(UnivariateFlow):
    """``z_i = f(x_i; θ_i(x_{<i}))`` with layers of sigmoids; ``layers=1`` is the sigmoidal, more the deep dense flow.

    The inverse is found by Newton's method, element after element.
    """

    Config = NAFConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "huang2018naf",
            "Neural Autoregressive Flows",
            "Chin-Wei Huang, David Krueger, Alexandre Lacoste, Aaron Courville",
            2018,
            "https://arxiv.org/abs/1804.00779",
        ),
    )

    config: NAFConfig

    def univariate(self, features: int) -> Univariate:
        return DeepSigmoidal(self.config.layers, self.config.sigmoids)
