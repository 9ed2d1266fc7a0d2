"""Masked autoregressive flow: affine maps, each element given those before it."""

from __future__ import annotations

from typing import ClassVar, final

from pydantic import Field

from headwater.bijections.affine import Affine
from headwater.bijections.univariate import Univariate
from headwater.models.base import Paper
from headwater.models.flows.stack import Kind, UnivariateConfig, UnivariateFlow

__all__ = ["MAF", "MAFConfig"]


class MAFConfig(UnivariateConfig):
    """Architecture of MAF."""

    kind: Kind = Field("autoregressive", description="what decides how an element moves")


@final
class MAF(UnivariateFlow):
    """``z_i = x_i exp(s_i(x_{<i})) + t_i(x_{<i})``: one pass to score, one sweep to sample."""

    Config = MAFConfig
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "papamakarios2017maf",
            "Masked Autoregressive Flow for Density Estimation",
            "George Papamakarios, Theo Pavlakou, Iain Murray",
            2017,
            "https://arxiv.org/abs/1705.07057",
        ),
    )

    config: MAFConfig

    def univariate(self, features: int) -> Univariate:
        return Affine()
