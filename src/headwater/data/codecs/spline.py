"""A monotone, once differentiable map of a column to the normal: a rational-quadratic spline through its quantiles.

Between knots ``(x_j, z_j)`` with slopes ``d_j``, and with ``w = x_{j+1} - x_j``, ``s = (z_{j+1} - z_j) / w``,
``t = (x - x_j) / w``:

    z = z_j + (z_{j+1} - z_j) (s t^2 + d_j t (1-t)) / (s + (d_{j+1} + d_j - 2s) t (1-t))

Beyond the outer knots it grows like a logarithm, ``z = z_K + log(1 + d_K (x - x_K))``, so that
a value far outside what was seen costs nats in proportion to its order of magnitude.

Reference: Piecewise Rational Quadratic Interpolation to Monotonic Data (Gregory, Delbourgo, 1982),
https://doi.org/10.1093/imanum/2.2.123
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Knots", "fit_knots", "pad_knots", "spline_forward", "spline_inverse"]

_MOST = 64
_TAIL = 16
_LEAST_WIDTH = 1e-100  # narrower, and values far outside would be carried to infinity


class _Bin(NamedTuple):
    """The knots around each value: left ends, width, mean slope and the slopes at both ends."""

    x: Tensor
    z: Tensor
    w: Tensor
    s: Tensor
    d0: Tensor
    d1: Tensor


class Knots(NamedTuple):
    """Knots of one column: places, heights and slopes."""

    x: np.ndarray
    z: np.ndarray
    d: np.ndarray


def _bin(at: Tensor, edges: Tensor, x: Tensor, z: Tensor, d: Tensor, last: Tensor) -> _Bin:
    j = torch.searchsorted(edges, at.T.contiguous(), right=True) - 1
    j = torch.minimum(j.clamp(min=0), last[:, None] - 1)
    x0, x1, z0, z1 = x.gather(1, j), x.gather(1, j + 1), z.gather(1, j), z.gather(1, j + 1)
    w = x1 - x0
    parts = (x0, z0, w, (z1 - z0) / w, d.gather(1, j), d.gather(1, j + 1))
    return _Bin(*(part.T for part in parts))


def _ends(x: Tensor, z: Tensor, d: Tensor, last: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    at = last[:, None]
    return (x[:, 0], z[:, 0], d[:, 0]), tuple(a.gather(1, at)[:, 0] for a in (x, z, d))  # type: ignore[return-value]


def spline_forward(
    v: Float[Tensor, "batch columns"],
    x: Float[Tensor, "columns knots"],
    z: Float[Tensor, "columns knots"],
    d: Float[Tensor, "columns knots"],
    last: Int64[Tensor, " columns"],
) -> tuple[Float[Tensor, "batch columns"], Float[Tensor, "batch columns"]]:
    """``z(v)`` and ``log dz/dv``; ``last`` is the place of each column's last knot (others pad)."""
    (xl, zl, dl), (xr, zr, dr) = _ends(x, z, d, last)
    inside = torch.minimum(torch.maximum(v, xl), xr)
    b = _bin(inside, x, x, z, d, last)
    t = (inside - b.x) / b.w
    u = t * (1 - t)
    below = b.s + (b.d0 + b.d1 - 2 * b.s) * u
    middle = b.z + b.s * b.w * (b.s * t * t + b.d0 * u) / below
    slope = 2 * torch.log(b.s / below) + torch.log(b.d1 * t * t + 2 * b.s * u + b.d0 * (1 - t) ** 2)
    left = torch.log1p(dl * (xl - v).clamp(min=0))
    right = torch.log1p(dr * (v - xr).clamp(min=0))
    value = torch.where(v < xl, zl - left, torch.where(v > xr, zr + right, middle))
    ladj = torch.where(v < xl, torch.log(dl) - left, torch.where(v > xr, torch.log(dr) - right, slope))
    return value, ladj


def spline_inverse(
    h: Float[Tensor, "batch columns"],
    x: Float[Tensor, "columns knots"],
    z: Float[Tensor, "columns knots"],
    d: Float[Tensor, "columns knots"],
    last: Int64[Tensor, " columns"],
) -> Float[Tensor, "batch columns"]:
    """Inverse of :func:`spline_forward`: the root of a quadratic, in the form that does not cancel."""
    (xl, zl, dl), (xr, zr, dr) = _ends(x, z, d, last)
    inside = torch.minimum(torch.maximum(h, zl), zr)
    b = _bin(inside, z, x, z, d, last)
    rise = inside - b.z
    bend = rise * (b.d0 + b.d1 - 2 * b.s)
    height = b.s * b.w
    a = height * (b.s - b.d0) + bend
    linear = height * b.d0 - bend
    c = -b.s * rise
    root = 2 * c / (-linear - torch.sqrt((linear * linear - 4 * a * c).clamp(min=0)))
    left = torch.expm1((zl - h).clamp(min=0)) / dl
    right = torch.expm1((h - zr).clamp(min=0)) / dr
    return torch.where(h < zl, xl - left, torch.where(h > zr, xr + right, b.x + root * b.w))


def fit_knots(values: np.ndarray) -> Knots:
    """Knots at quantiles of ``values`` (finite, at least one), their heights normal scores of mid-ranks.

    At most ``sqrt(n) / 2`` bins: with ``2 sqrt(n)`` values in each, slopes follow the
    density and not its noise.
    """
    ordered = np.sort(values.astype(np.float64))
    count = len(ordered)
    wanted = int(np.clip(np.sqrt(count) / 2, 2, _MOST)) + 1
    tails = 0.5 ** np.arange(1, max(1.0, np.log2(count / _TAIL)))  # finer towards the ends, where densities bend
    shares = np.concatenate([np.linspace(0, 1, wanted), tails, 1 - tails])
    x = np.unique(ordered[np.round(shares * (count - 1)).astype(int)])
    inner = x if len(x) < 8 else x[len(x) // 10 : len(x) - len(x) // 10]  # one outlier sets no scale
    apart = np.concatenate([[True], np.diff(x) > max(_LEAST_WIDTH, 1e-6 * (inner[-1] - inner[0]))])
    x = x[apart] if apart.sum() > 1 else x[:1]
    if len(x) < 2:
        x, share = np.array([x[0] - 1.0, x[0] + 1.0]), np.array([0.16, 0.84])
    else:
        ranks = np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right")
        share = ranks / (2 * count)
    z = torch.special.ndtri(torch.from_numpy(share)).numpy()
    return Knots(x, z, _slopes(x, z))


def _slopes(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Harmonic means of the neighbouring bins' slopes, weighted by the other's width; positive, so monotone."""
    w, s = np.diff(x), np.diff(z) / np.diff(x)
    inner = (w[:-1] + w[1:]) / (w[1:] / s[:-1] + w[:-1] / s[1:])
    return np.concatenate([s[:1], inner, s[-1:]])


def pad_knots(columns: list[Knots]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Stack columns of different lengths: ``x``, ``z`` padded with infinity, slopes with one, and the last places."""
    longest = max(len(k.x) for k in columns)
    last = torch.tensor([len(k.x) - 1 for k in columns])
    stacked = (
        np.stack([np.pad(getattr(k, part), (0, longest - len(k.x)), constant_values=fill) for k in columns])
        for part, fill in (("x", np.inf), ("z", np.inf), ("d", 1.0))
    )
    x, z, d = (torch.from_numpy(a) for a in stacked)
    return x, z, d, last
