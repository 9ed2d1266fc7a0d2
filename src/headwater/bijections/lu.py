"""Invertible linear map by its LU factors."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection

__all__ = ["LULinear"]


class LULinear(Bijection):
    """``z = L U x + b`` with ``L`` unit lower triangular and ``U`` upper triangular with diagonal ``exp(d)``.

    Inverse: ``x = U^-1 L^-1 (z - b)`` by two triangular solves. Log-determinants:
    ``sum d`` and ``-sum d``. Starts as the identity; put a permutation before it to
    reach any invertible matrix with a positive determinant's worth of freedom.

    Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    https://arxiv.org/abs/1807.03039, section 3.2; Neural Spline Flows (Durkan, Bekasov,
    Murray & Papamakarios, 2019), https://arxiv.org/abs/1906.04032, section 3.1.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        strict = features * (features - 1) // 2
        self.lower = nn.Parameter(torch.zeros(features, features)) if strict else None
        self.upper = nn.Parameter(torch.zeros(features, features)) if strict else None
        self.log_diagonal = nn.Parameter(torch.zeros(features))
        self.shift = nn.Parameter(torch.zeros(features))

    def _factors(self) -> tuple[Float[Tensor, "features features"], Float[Tensor, "features features"]]:
        diagonal = torch.diag(self.log_diagonal.exp())
        unit = torch.eye(len(diagonal), dtype=diagonal.dtype, device=diagonal.device)
        if self.lower is None or self.upper is None:
            return unit, diagonal
        return self.lower.tril(-1) + unit, self.upper.triu(1) + diagonal

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        lower, upper = self._factors()
        return x @ (lower @ upper).T + self.shift, self.log_diagonal.sum().expand(x.shape[0])

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        lower, upper = self._factors()
        y = torch.linalg.solve_triangular(lower.T, z - self.shift, upper=True, left=False, unitriangular=True)
        x = torch.linalg.solve_triangular(upper.T, y, upper=False, left=False)
        return x, -self.log_diagonal.sum().expand(z.shape[0])

    def extra_repr(self) -> str:
        return f"{len(self.shift)}"
