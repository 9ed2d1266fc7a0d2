"""Monotone rational-quadratic splines on a box, with linear tails.

In a bin of width ``w``, height ``h``, mean slope ``s = h / w`` and end slopes ``d0, d1``,
with ``ξ = (x - x_k) / w``, ``η = 1 - ξ``, ``v = (y - y_k) / h`` and ``u = 1 - v``:

    D      = s (ξ² + η²) + (d0 + d1) ξ η
    v      = ξ (s ξ + d0 η) / D
    dy/dx  = s² (d1 ξ² + 2 s ξ η + d0 η²) / D²
    q      = d0 u - d1 v,   r = sqrt(q² + 4 s² u v)
    t      = q + r,         ξ = 2 s v / (2 s v + t),   η = t / (2 s v + t)

These are the papers' formulas with every difference of positive terms rearranged
into a sum, so that nothing cancels: the discriminant ``r²`` cannot be negative, and
where ``q < 0`` the sum is computed as ``t = 4 s² u v / (r - q)``.

Piecewise Rational Quadratic Interpolation (Gregory & Delbourgo, 1982), https://doi.org/10.1093/imanum/2.2.123;
Neural Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019), https://arxiv.org/abs/1906.04032, section 3.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.box import Bin, Knots, bin_of, knots, pick_bin, shares
from headwater.bijections.located_bin import MAX_SLOPE
from headwater.bijections.spline_kernels import spline, spline_inverse
from headwater.bijections.univariate import Univariate

__all__ = [
    "RationalQuadratic",
    "end_slopes",
    "in_bin",
    "in_bin_inverse",
    "rational_quadratic",
    "rational_quadratic_inverse",
]


def end_slopes(raw: Float[Tensor, "*shape given"], bins: int) -> Knots:
    """Slopes ``exp(a)`` with ``|a| < log(MAX_SLOPE)`` by a soft clamp; zero gives one."""
    inner = torch.exp(raw / (1 + raw.abs() / math.log(MAX_SLOPE)))
    if raw.shape[-1] == bins + 1:
        return Knots(inner[..., :-1], inner[..., 1:])
    if raw.shape[-1] == bins:
        return Knots(inner, torch.cat([inner[..., 1:], inner[..., :1]], dim=-1))
    end = torch.ones_like(raw[..., :1]) if raw.shape[-1] else raw.new_ones(*raw.shape[:-1], 1)
    return Knots(torch.cat([end, inner], dim=-1), torch.cat([inner, end], dim=-1))


def _log_slope(s: Tensor, d0: Tensor, d1: Tensor, xi: Tensor, eta: Tensor, denominator: Tensor) -> Tensor:
    numerator = d1 * xi.square() + 2 * s * xi * eta + d0 * eta.square()
    return 2 * torch.log(s) + torch.log(numerator) - 2 * torch.log(denominator)


def in_bin(x: Float[Tensor, "*shape"], at: Bin) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``y`` and ``log dy/dx`` in the bins that the elements fall into."""
    x0, x1, y0, y1, d0, d1 = at
    width, height = x1 - x0, y1 - y0
    s = height / width
    xi, eta = (x - x0) / width, (x1 - x) / width
    denominator = s * (xi.square() + eta.square()) + (d0 + d1) * xi * eta
    y = y0 + height * (xi * (s * xi + d0 * eta) / denominator)
    ladj = _log_slope(s, d0, d1, xi, eta, denominator)
    return y, ladj


def in_bin_inverse(y: Float[Tensor, "*shape"], at: Bin) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``x`` and ``log dx/dy`` in the bins that the elements fall into."""
    x0, x1, y0, y1, d0, d1 = at
    width, height = x1 - x0, y1 - y0
    s = height / width
    v, u = (y - y0) / height, (y1 - y) / height
    q, product = d0 * u - d1 * v, 4 * s.square() * u * v
    larger = torch.where(q >= 0, q, -q) + torch.sqrt(q.square() + product)
    t = torch.where(q >= 0, larger, product / larger)
    total = 2 * s * v + t
    xi, eta = 2 * s * v / total, t / total
    denominator = s * (xi.square() + eta.square()) + (d0 + d1) * xi * eta
    ladj = -_log_slope(s, d0, d1, xi, eta, denominator)
    return x0 + width * xi, ladj


def rational_quadratic(
    x: Float[Tensor, "*shape"],
    widths: Float[Tensor, "*shape bins"],
    heights: Float[Tensor, "*shape bins"],
    slopes: Float[Tensor, "*shape given"],
    bound: float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """The spline ``y = f(x)`` on ``[-bound, bound]`` and the identity outside.

    Args:
        x: Any finite numbers.
        widths: Unnormalized log-widths of the bins.
        heights: Unnormalized log-heights of the bins.
        slopes: Log-slopes, softly clamped: ``bins - 1`` at the inner knots, the ends then have slope one and the
            tails follow; or ``bins + 1`` at all knots; or ``bins`` at all but the last one, which has that
            of the first. In the last two cases the box is all there is: ``x`` is clipped to it.
        bound: Half the side of the box.

    Returns:
        ``y`` and ``log dy/dx`` of each element. All-zero parameters give the identity.
    """
    bins = widths.shape[-1]
    inside = (x.abs() < bound) | (slopes.shape[-1] >= bins)
    xs, ys, ds = knots(shares(widths), bound), knots(shares(heights), bound), end_slopes(slopes, bins)
    clipped = x.clamp(-bound, bound)
    y, ladj = in_bin(clipped, pick_bin(bin_of(clipped, xs), xs, ys, ds))
    return torch.where(inside, y, x), torch.where(inside, ladj, torch.zeros_like(ladj))


def rational_quadratic_inverse(
    y: Float[Tensor, "*shape"],
    widths: Float[Tensor, "*shape bins"],
    heights: Float[Tensor, "*shape bins"],
    slopes: Float[Tensor, "*shape given"],
    bound: float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``x = f^-1(y)`` and ``log dx/dy`` of :func:`rational_quadratic`, in closed form."""
    bins = widths.shape[-1]
    inside = (y.abs() < bound) | (slopes.shape[-1] >= bins)
    xs, ys, ds = knots(shares(widths), bound), knots(shares(heights), bound), end_slopes(slopes, bins)
    clipped = y.clamp(-bound, bound)
    x, ladj = in_bin_inverse(clipped, pick_bin(bin_of(clipped, ys), xs, ys, ds))
    return torch.where(inside, x, y), torch.where(inside, ladj, torch.zeros_like(ladj))


class RationalQuadratic(Univariate):
    """Monotone rational-quadratic spline on ``[-bound, bound]``, the identity outside.

    See the module for the formulas of ``f``, its inverse and both log-derivatives, and
    :mod:`headwater.bijections.spline_kernels` for what runs.

    Precision: slopes inside lie between about 1e-6 and 400, so that in float32
    ``f(f^-1(y))`` returns ``y`` within 1e-4 for ``bound <= 4``, whatever the parameters.

    Args:
        bins: Number of bins ``K``.
        bound: Half the side of the box.

    Parameters per element: ``K`` log-widths, ``K`` log-heights, ``K - 1`` log-slopes.
    """

    def __init__(self, bins: int = 8, bound: float = 4.0) -> None:
        super().__init__()
        assert bins >= 1
        self.bins, self.bound = bins, bound
        self.size = 3 * bins - 1

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        return spline(x, _rows(x, parameters), self.bins, self.bound)

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        return spline_inverse(y, _rows(y, parameters), self.bins, self.bound)

    def extra_repr(self) -> str:
        return f"bins={self.bins}, bound={self.bound:g}"


def _rows(x: Tensor, parameters: Tensor) -> Tensor:
    # under autocast the conditioner answers in bfloat16, in which knots would collide
    return parameters.to(x.dtype).movedim(-1, 0)
