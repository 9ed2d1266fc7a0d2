"""Inverse autoregressive flow: affine maps, each element given the noise before it."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.affine import Affine
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["IAF", "IAFConfig"]


class IAFConfig(UnivariateConfig):
    """Architecture of IAF."""

    kind: Kind = Field("inverse-autoregressive", description="what decides how an element moves")


@final
class IAF(UnivariateFlow):
    """``x_i = (z_i - t_i(z_{<i})) exp(-s_i(z_{<i}))``: one pass to sample, ``D`` passes to score.

    Meant for reverse-KL objectives, which sample; for data prefer ``maf``.
    """

    Config = IAFConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "kingma2016iaf",
            "Improved Variational Inference with Inverse Autoregressive Flow",
            "Diederik P. Kingma, Tim Salimans, Rafal Jozefowicz, Xi Chen, Ilya Sutskever, Max Welling",
            2016,
            "https://arxiv.org/abs/1606.04934",
        ),
    )

    config: IAFConfig

    def univariate(self, features: int) -> Univariate:
        return Affine()
