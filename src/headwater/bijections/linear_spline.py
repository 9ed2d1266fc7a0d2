"""Monotone linear splines on a box."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.box import Knots, bin_of, knots, pick, shares
from headwater.bijections.univariate import Univariate

__all__ = ["LinearSpline"]


class LinearSpline(Univariate):
    """``y = y_k + s_k (x - x_k)`` on ``K`` bins of equal width in ``[-bound, bound]``, the identity outside.

    The slopes are ``s_k = K`` times the share of the box that bin ``k`` is carried to; ``x = x_k + (y - y_k) / s_k``;
    log-derivatives ``log s_k`` and ``-log s_k``. The density it gives is a histogram: it jumps at the knots.

    Neural Importance Sampling (Müller, McWilliams, Rousselle, Gross & Novák, 2019), https://arxiv.org/abs/1808.03856,
    section 4.1.

    Args:
        bins: ``K``.
        bound: Half the side of the box.

    Parameters per element: ``K`` unnormalized log-heights.
    """

    def __init__(self, bins: int = 16, bound: float = 4.0) -> None:
        super().__init__()
        assert bins >= 1
        self.bins, self.bound, self.size = bins, bound, bins

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        xs, ys = self._knots(parameters.to(x.dtype))
        return _carry(x, xs, ys, self.bound)

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        xs, ys = self._knots(parameters.to(y.dtype))
        return _carry(y, ys, xs, self.bound)

    def _knots(self, parameters: Tensor) -> tuple[Knots, Knots]:
        return knots(torch.full_like(parameters, 1 / self.bins), self.bound), knots(shares(parameters), self.bound)

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound:g}"


def _carry(value: Tensor, source: Knots, target: Knots, bound: float) -> tuple[Tensor, Tensor]:
    """From one division of the box to the other."""
    inside = value.abs() < bound
    clipped = value.clamp(-bound, bound)
    here = bin_of(clipped, source)
    s0, s1, t0, t1 = (pick(here, ends) for ends in (source.left, source.right, target.left, target.right))
    share = (clipped - s0) / (s1 - s0)
    ladj = torch.log((t1 - t0) / (s1 - s0))
    # a weighted mean of the ends rather than t0 + slope * distance: exact at both knots
    out = t0 * (1 - share) + t1 * share
    return torch.where(inside, out, value), torch.where(inside, ladj, torch.zeros_like(ladj))
