"""The line onto the unit interval."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from headwater.bijections.bijection import Bijection

__all__ = ["Logistic"]


class Logistic(Bijection):
    """``z = 1 / (1 + exp(-x))`` per element, ``log dz/dx = log σ(x) + log σ(-x)``; inverse ``x = log z - log(1 - z)``.

    Precision: a ``z`` next to one is rounded, so that ``x`` above about 16 (in float64: 36) is lost.

    >>> Logistic()(torch.zeros(1, 2))[0]
    tensor([[0.5000, 0.5000]])
    """

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return torch.sigmoid(x), (logsigmoid(x) + logsigmoid(-x)).sum(dim=1)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        inside = z.clamp(torch.finfo(z.dtype).tiny, 1 - torch.finfo(z.dtype).eps / 2)
        x = torch.log(inside) - torch.log1p(-inside)
        return x, -(logsigmoid(x) + logsigmoid(-x)).sum(dim=1)
