"""The unit interval to the line, a margin kept from its ends."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headwater.bijections.bijection import Bijection

__all__ = ["Logit"]


class Logit(Bijection):
    """``z = logit(s)`` with ``s = α + (1 - 2α) x`` for elements ``x`` of [0, 1].

    Inverse: ``x = (σ(z) - α) / (1 - 2α)``, of any real ``z``: beyond ``±logit(1 - α)`` it leaves [0, 1].
    Log-determinants: ``sum log((1 - 2α) / (s (1 - s)))`` and minus that.

    Density Estimation Using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017), https://arxiv.org/abs/1605.08803,
    section 4.1.

    Args:
        alpha: ``α``, between 0 and 1/2.
    """

    def __init__(self, alpha: float) -> None:
        super().__init__()
        assert 0 < alpha < 0.5
        self.alpha = alpha

    def forward(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        s = self.alpha + (1 - 2 * self.alpha) * x
        log_s, log_rest = torch.log(s), torch.log1p(-s)
        return log_s - log_rest, (math.log1p(-2 * self.alpha) - log_s - log_rest).flatten(1).sum(dim=1)

    def inverse(
        self, z: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        x = (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)
        slope = functional.logsigmoid(z) + functional.logsigmoid(-z) - math.log1p(-2 * self.alpha)
        return x, slope.flatten(1).sum(dim=1)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha:g}"
