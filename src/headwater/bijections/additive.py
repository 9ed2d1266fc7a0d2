"""Shift of each element."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.univariate import Univariate

__all__ = ["Additive"]


class Additive(Univariate):
    """``y = x + t``, which keeps volume: both log-derivatives are zero.

    NICE: Non-linear Independent Components Estimation (Dinh, Krueger & Bengio, 2014), https://arxiv.org/abs/1410.8516.

    Parameters per element: ``t``.
    """

    size = 1

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        return x + parameters[..., 0], torch.zeros_like(x)

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        return y - parameters[..., 0], torch.zeros_like(y)
