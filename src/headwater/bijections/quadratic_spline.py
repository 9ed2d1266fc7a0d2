"""Monotone quadratic splines on a box."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.box import Bin, Knots, bin_of, knots, pick_bin, shares
from headwater.bijections.univariate import Univariate

__all__ = ["QuadraticSpline"]

_LEAST_SLOPE = 1e-3


class QuadraticSpline(Univariate):
    r"""A slope that is linear between ``K + 1`` knots of ``[-bound, bound]``; the identity outside.

    With the slopes ``d_k`` at the knots, scaled so that the box is carried onto itself, and
    ``ξ = (x - x_k) / w`` in a bin of width ``w``:

    .. math:: y = y_k + w (d_k ξ + (d_{k+1} - d_k) ξ^2 / 2), \qquad dy/dx = d_k (1 - ξ) + d_{k+1} ξ,
              \qquad ξ = 2 v / (d_k + \sqrt{d_k^2 + 2 v (d_{k+1} - d_k)}), \quad v = (y - y_k) / w

    The root is that of ``d_k^2 (1 - u) + d_{k+1}^2 u`` with the share ``u`` of the bin's height: never negative.

    Neural Importance Sampling (Müller et al., 2019), https://arxiv.org/abs/1808.03856, section 4.2.

    Args:
        bins: ``K``.
        bound: Half the side of the box.

    Parameters per element: ``K`` log-widths and ``K + 1`` log-slopes, unnormalized.
    """

    def __init__(self, bins: int = 8, bound: float = 4.0) -> None:
        super().__init__()
        assert bins >= 1
        self.bins, self.bound, self.size = bins, bound, 2 * bins + 1

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        inside = x.abs() < self.bound
        clipped = x.clamp(-self.bound, self.bound)
        x0, x1, y0, y1, d0, d1 = self._bin(clipped, parameters.to(x.dtype), by="x")
        xi, eta = (clipped - x0) / (x1 - x0), (x1 - clipped) / (x1 - x0)
        # share of the bin's height: (d0 ξ + (d1 - d0) ξ²/2) / ((d0 + d1) / 2), as a sum of positive terms
        share = xi * (d0 * (1 + eta) + d1 * xi) / (d0 + d1)
        y, ladj = y0 + (y1 - y0) * share, torch.log(d0 * eta + d1 * xi)
        return torch.where(inside, y, x), torch.where(inside, ladj, torch.zeros_like(ladj))

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        inside = y.abs() < self.bound
        clipped = y.clamp(-self.bound, self.bound)
        x0, x1, y0, y1, d0, d1 = self._bin(clipped, parameters.to(y.dtype), by="y")
        u, rest = (clipped - y0) / (y1 - y0), (y1 - clipped) / (y1 - y0)
        slope = torch.sqrt(d0.square() * rest + d1.square() * u)
        xi = u * (d0 + d1) / (d0 + slope)
        x = x0 + (x1 - x0) * xi
        return torch.where(inside, x, y), torch.where(inside, -torch.log(slope), torch.zeros_like(slope))

    def _bin(self, value: Tensor, parameters: Tensor, *, by: str) -> Bin:
        widths = shares(parameters[..., : self.bins])
        raw = _LEAST_SLOPE + torch.nn.functional.softplus(parameters[..., self.bins :])
        areas = widths * 0.5 * (raw[..., :-1] + raw[..., 1:])
        area = areas.sum(dim=-1, keepdim=True)
        slopes = raw / area
        xs, ys = knots(widths, self.bound), knots(areas / area, self.bound)
        here = bin_of(value, xs if by == "x" else ys)
        return pick_bin(here, xs, ys, Knots(slopes[..., :-1], slopes[..., 1:]))

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound:g}"
