"""Rational-quadratic splines of a closed interval onto itself: no tails, slopes free at the ends."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.rational_quadratic import rational_quadratic, rational_quadratic_inverse
from headwater.bijections.univariate import Univariate

__all__ = ["BoxSpline"]


class BoxSpline(Univariate):
    """Increasing spline of ``[-1, 1]`` onto itself; what rounding puts beyond an end is put back on it.

    The formulas are those of :mod:`headwater.bijections.rational_quadratic`.

    Args:
        bins: Number of bins ``K``.

    Parameters per element: ``K`` log-widths, ``K`` log-heights, ``K + 1`` log-slopes.

    >>> y, _ = BoxSpline(3)(torch.tensor([-1.0, 0.25, 1.0]), torch.randn(3, 10))
    >>> [round(value, 4) for value in y[[0, 2]].tolist()]
    [-1.0, 1.0]
    """

    def __init__(self, bins: int = 8) -> None:
        super().__init__()
        assert bins >= 1
        self.bins = bins
        self.size = 3 * bins + 1

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        y, ladj = rational_quadratic(x, *self._split(x, parameters), 1.0)
        return y.clamp(-1, 1), ladj

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        x, ladj = rational_quadratic_inverse(y, *self._split(y, parameters), 1.0)
        return x.clamp(-1, 1), ladj

    def _split(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = torch.split(parameters.to(x.dtype), [self.bins, self.bins, self.bins + 1], dim=-1)
        return parts[0], parts[1], parts[2]

    def extra_repr(self) -> str:
        return f"bins={self.bins}"
