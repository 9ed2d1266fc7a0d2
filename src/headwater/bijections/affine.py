"""Scale and shift of each element."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.univariate import Univariate

__all__ = ["Affine"]


class Affine(Univariate):
    """``y = exp(a) x + t`` with ``a = b s / (b + |s|)``; ``x = (y - t) exp(-a)``; log-derivatives ``a``, ``-a``.

    The soft clamp keeps ``|a| < b``, so that no scale overflows.

    Density Estimation Using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017), https://arxiv.org/abs/1605.08803.

    Args:
        log_bound: ``b``, the largest absolute log-scale.

    Parameters per element: ``s, t``.
    """

    size = 2

    def __init__(self, log_bound: float = 5.0) -> None:
        super().__init__()
        self.log_bound = log_bound

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        a, t = self._split(parameters)
        return x * torch.exp(a) + t, a

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        a, t = self._split(parameters)
        return (y - t) * torch.exp(-a), -a

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        s, t = parameters.movedim(-1, 0).unbind(0)  # as networks lay them: their gradients, too, are runs of memory
        return s / (1 + s.abs() / self.log_bound), t

    def extra_repr(self) -> str:
        return f"log_bound={self.log_bound}"
