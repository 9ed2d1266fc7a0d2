"""Invertible linear map by one triangular matrix."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection

__all__ = ["Triangular"]


class Triangular(Bijection):
    """``z = T x + b`` with ``T`` lower triangular and diagonal ``exp(d)``: each element sees those before it.

    Inverse: ``x = T^-1 (z - b)`` by one triangular solve. Log-determinants: ``sum d`` and ``-sum d``. Starts as the
    identity. With a standard normal base this is a Gaussian by its Cholesky factor; between other layers put a
    permutation before it, so that not always the same elements come first.

    Sylvester Normalizing Flows for Variational Inference (van den Berg, Hasenclever, Tomczak & Welling, 2018),
    https://arxiv.org/abs/1803.05649, alternates triangular maps with reversals.

    Args:
        features: Length of ``x``.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(features, features)) if features > 1 else None
        self.log_diagonal = nn.Parameter(torch.zeros(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def matrix(self) -> Float[Tensor, "features features"]:
        """``T``."""
        diagonal = torch.diag(self.log_diagonal.exp())
        return diagonal if self.lower is None else self.lower.tril(-1) + diagonal

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return x @ self.matrix().T + self.shift, self.log_diagonal.sum().expand(x.shape[0])

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        x = torch.linalg.solve_triangular(self.matrix().T, z - self.shift, upper=True, left=False)
        return x, -self.log_diagonal.sum().expand(z.shape[0])

    def extra_repr(self) -> str:
        return f"{len(self.shift)}"
