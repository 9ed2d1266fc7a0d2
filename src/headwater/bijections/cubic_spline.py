"""Monotone cubic splines on a box."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.box import Bin, Knots, bin_of, knots, pick_bin, shares
from headwater.bijections.roots import increasing_inverse
from headwater.bijections.univariate import Univariate

__all__ = ["CubicSpline"]

_STEEPEST_END = 2.9  # three would let a single bin be flat in its middle


class CubicSpline(Univariate):
    r"""Hermite's cubic in each of ``K`` bins of ``[-bound, bound]``, the identity outside.

    In a bin of width ``w``, height ``h`` and mean slope ``s = h / w``, with ``ξ = (x - x_k) / w``, ``η = 1 - ξ``:

    .. math:: y = y_k + h ξ^2 (3 - 2 ξ) + w ξ η (d_k η - d_{k+1} ξ), \qquad
              dy/dx = d_k η^2 + d_{k+1} ξ^2 + (6 s - 2 d_k - 2 d_{k+1}) ξ η

    The slopes ``d_k`` at inner knots are Steffen's, twice the least of both mean slopes and half their
    weighted mean, which keeps the cubic increasing and its slope continuous; those at the ends are free.
    The inverse is found by Newton's method within the bin.

    Cubic-Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019), https://arxiv.org/abs/1906.02145;
    A simple method for monotonic interpolation in one dimension (Steffen, 1990).

    Args:
        bins: ``K``.
        bound: Half the side of the box.

    Parameters per element: ``K`` log-widths, ``K`` log-heights, unnormalized, and 2 logits of the end slopes.
    """

    def __init__(self, bins: int = 8, bound: float = 4.0) -> None:
        super().__init__()
        assert bins >= 1
        self.bins, self.bound, self.size = bins, bound, 2 * bins + 2

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        inside = x.abs() < self.bound
        clipped = x.clamp(-self.bound, self.bound)
        y, ladj = _hermite(clipped, self._bin(clipped, parameters.to(x.dtype), by="x"))
        return torch.where(inside, y, x), torch.where(inside, ladj, torch.zeros_like(ladj))

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        inside = y.abs() < self.bound
        clipped = y.clamp(-self.bound, self.bound)
        here = self._bin(clipped, parameters.to(y.dtype), by="y")
        x, ladj = increasing_inverse(lambda x: _hermite(x, here), clipped, here.x0.detach(), here.x1.detach())
        return torch.where(inside, x, y), torch.where(inside, ladj, torch.zeros_like(ladj))

    def _bin(self, value: Tensor, parameters: Tensor, *, by: str) -> Bin:
        raw_widths, raw_heights, ends = torch.split(parameters, [self.bins, self.bins, 2], dim=-1)
        widths, heights = shares(raw_widths), shares(raw_heights)
        mean = heights / widths
        w0, w1, s0, s1 = widths[..., :-1], widths[..., 1:], mean[..., :-1], mean[..., 1:]
        weighted = (s0 * w1 + s1 * w0) / (w0 + w1)
        inner = 2 * torch.minimum(torch.minimum(s0, s1), 0.5 * weighted)
        free = _STEEPEST_END * torch.sigmoid(ends - math.log(_STEEPEST_END - 1))
        slopes = torch.cat([free[..., :1] * mean[..., :1], inner, free[..., 1:] * mean[..., -1:]], dim=-1)
        xs, ys = knots(widths, self.bound), knots(heights, self.bound)
        here = bin_of(value, xs if by == "x" else ys)
        return pick_bin(here, xs, ys, Knots(slopes[..., :-1], slopes[..., 1:]))

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound:g}"


def _hermite(x: Tensor, here: Bin) -> tuple[Tensor, Tensor]:
    x0, x1, y0, y1, d0, d1 = here
    width, height = x1 - x0, y1 - y0
    xi, eta = (x - x0) / width, (x1 - x) / width
    s = height / width
    y = y0 + height * xi.square() * (3 - 2 * xi) + width * xi * eta * (d0 * eta - d1 * xi)
    slope = d0 * eta.square() + d1 * xi.square() + (6 * s - 2 * d0 - 2 * d1) * xi * eta
    return y, torch.log(slope)
