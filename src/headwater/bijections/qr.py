"""Invertible linear map by an orthogonal and a triangular factor."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection
from headwater.bijections.householder import Householder

__all__ = ["QRLinear"]


class QRLinear(Bijection):
    """``z = Q R x + b`` with ``Q`` of reflections and ``R`` upper triangular with diagonal ``exp(d)``.

    Log-determinants ``sum d`` and ``-sum d``. Starts as the identity.

    Emerging Convolutions for Generative Normalizing Flows (Hoogeboom, van den Berg & Welling, 2019),
    https://arxiv.org/abs/1901.11137, section 4.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.orthogonal = Householder(features)
        self.upper = nn.Parameter(torch.zeros(features, features))
        self.log_diagonal = nn.Parameter(torch.zeros(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def _factor(self) -> Float[Tensor, "features features"]:
        return self.upper.triu(1) + torch.diag(self.log_diagonal.exp())

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        turned, _ = self.orthogonal(x @ self._factor().T)
        return turned + self.shift, self.log_diagonal.sum().expand(len(x))

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        turned, _ = self.orthogonal.inverse(z - self.shift)
        x = torch.linalg.solve_triangular(self._factor().T, turned, upper=False, left=False)
        return x, -self.log_diagonal.sum().expand(len(z))

    def extra_repr(self) -> str:
        return f"{len(self.shift)}"
