"""Whole numbers, dates, flags and ordered codes as reals: uniform dequantization, then the normal quantile of the CDF.

With cells ``k``, ``y = k + e``, ``F`` the piecewise linear distribution function of the
dequantized training values: ``z = Phi^{-1}(F(y))`` and ``log |dz/dy| = log F'(y) - log N(z)``.
A model that says ``z ~ N(0, 1)`` thus scores exactly the training frequencies, spikes included.

Where values are bounded ``F`` runs from 0 to 1 and every real ``z`` is some value. An open
end grows like a logarithm beyond the last knot, so unseen larger values keep a score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.data.codecs.base import Encoded, Part, normal_log_density
from headwater.data.codecs.pixels import dequantize
from headwater.events import Segment
from headwater.rng import Rng

__all__ = ["Cells", "Lattice", "fit_cells", "pad_cells"]

_MOST = 512
_WIDEST_MARGIN = 0.45


class Cells(NamedTuple):
    """Knots of one column: cell numbers, and the shares of the mass below and above each."""

    at: np.ndarray
    below: np.ndarray
    above: np.ndarray


def fit_cells(codes: np.ndarray, *, cells: int | None, nonnegative: bool = False) -> Cells:
    """Knots of the distribution function of whole numbers ``codes``.

    With ``cells`` (bounded, 0 .. cells-1) every cell is a knot and has at least half a count.
    Else at most 512 knots at quantiles, spikes with cells of their own; the upper end is
    open, the lower one too unless ``nonnegative``.
    """
    if cells is not None and cells <= _MOST:
        counts = np.bincount(codes.astype(np.int64), minlength=cells) + 0.5
        return _from_counts(np.arange(cells + 1, dtype=np.float64), counts, open_left=False, open_right=False)
    values, tally = np.unique(codes.astype(np.float64), return_counts=True)
    counts = tally.astype(np.float64)
    spikes = values[counts * _MOST / 4 > counts.sum()][: _MOST // 4]
    grid = np.round(np.linspace(0, counts.sum() - 1, min(_MOST // 2, int(np.sqrt(counts.sum())) + 2)))
    quantiles = values[np.searchsorted(np.cumsum(counts), grid, side="right")]
    ends = [values[0], values[-1] + 1]
    if cells is not None:
        ends = [0.0, float(cells)]
    elif nonnegative:
        ends[0] = 0.0
    at = np.unique(np.concatenate([quantiles, spikes, spikes + 1, ends]))
    mass = np.add.reduceat(counts, np.searchsorted(values, at[:-1]).clip(max=len(values) - 1))
    mass[np.searchsorted(values, at[:-1]) == np.searchsorted(values, at[1:])] = 0  # bins that hold no value
    return _from_counts(at, mass + 0.5, open_left=cells is None and not nonnegative, open_right=cells is None)


def _from_counts(at: np.ndarray, counts: np.ndarray, *, open_left: bool, open_right: bool) -> Cells:
    padded = np.concatenate([[0.5 * open_left], counts, [0.5 * open_right]])
    total = padded.sum()
    below = np.cumsum(padded)[:-1] / total
    above = np.cumsum(padded[::-1])[::-1][1:] / total
    return Cells(at, below, above)


def pad_cells(columns: list[Cells]) -> dict[str, Tensor]:
    """Stack columns of different lengths; padding is never reached."""
    longest = max(len(c.at) for c in columns)
    state = {
        name: torch.from_numpy(
            np.stack([np.pad(getattr(c, name), (0, longest - len(c.at)), constant_values=fill) for c in columns])
        )
        for name, fill in (("at", np.inf), ("below", 2.0), ("above", -1.0))
    }
    return state | {"last": torch.tensor([len(c.at) - 1 for c in columns])}


class Lattice(Part):
    """Columns of whole steps: ``v = origin + step * order^{-1}(k)``.

    Buffers: ``origin``, ``step`` ``(columns,)``; ``at``, ``below``, ``above`` ``(columns, knots)`` and
    ``last``; ``order`` ``(columns, cells)`` is the cell of each code, empty where codes are in order.
    """

    kind = "lattice"
    noisy = True
    missing: bool
    origin: Tensor
    step: Tensor
    at: Tensor
    below: Tensor
    above: Tensor
    last: Tensor
    order: Tensor

    @property
    def width(self) -> int:
        return len(self.columns)

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        return tuple(Segment(name=name) for name in names)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        absent = torch.isnan(value)
        if self.missing:
            value = torch.where(absent, self.origin, value)
        k = ((value - self.origin) / self.step).round()
        if self.order.numel():
            k = self.order.gather(1, k.long().T).T.double()
        z, ladj = self._spread(k, rng, dtype)
        if self.missing:
            draw = rng.normal("absent", z.shape[1], dtype=torch.float64)
            z = torch.where(absent, draw, z)
            ladj = torch.where(absent, -normal_log_density(draw), ladj)
        return Encoded(z, ladj.sum(1))

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        z = x.double()
        k = self._cell(z)
        if self.order.numel():
            inverse = self.order.argsort(dim=1)
            k = inverse.gather(1, k.long().T).T.double()
        return self.origin + self.step * k

    def _spread(self, k: Tensor, rng: Rng, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        lo, hi = self.at[:, 0], self.at.gather(1, self.last[:, None])[:, 0]
        j = torch.searchsorted(self.at, k.T.contiguous(), right=True) - 1
        j = torch.minimum(j.clamp(min=0), self.last[:, None] - 1)
        left, right, below, above, mass = self._bin(j)
        center, _ = self._score(torch.minimum(torch.maximum(k + 0.5, left), right), left, right, below, above, mass)
        density = torch.exp(normal_log_density(center))
        margin = torch.finfo(dtype).eps * (0.6 * center.abs() + 0.01) * density / mass
        margin = torch.where(margin < _WIDEST_MARGIN, margin, 0.0)  # finer than dtype: no margin can help
        y = dequantize(k, rng.uniform("dequantize", k.shape[1], dtype=torch.float64), margin)
        log_cell = torch.log1p(-2 * margin)
        inside = torch.minimum(torch.maximum(y, lo), hi)
        z, ladj = self._score(inside, left, right, below, above, mass)
        (zl, dl), (zr, dr) = self._tails()
        down, up = torch.log1p(dl * (lo - y).clamp(min=0)), torch.log1p(dr * (y - hi).clamp(min=0))
        z = torch.where(y < lo, zl - down, torch.where(y > hi, zr + up, z))
        ladj = torch.where(y < lo, torch.log(dl) - down, torch.where(y > hi, torch.log(dr) - up, ladj))
        return z, ladj + log_cell

    def _cell(self, z: Tensor) -> Tensor:
        u, s = torch.special.ndtr(z), torch.special.ndtr(-z)
        j = torch.searchsorted(self.below, u.T.contiguous(), right=True) - 1
        j = torch.minimum(j.clamp(min=0), self.last[:, None] - 1)
        left, right, below, above, mass = self._bin(j)
        y = torch.where(u < 0.5, left + (u - below) / mass, right - (s - above) / mass)
        k = torch.minimum(torch.maximum(y.floor(), left), right - 1)
        lo, hi = self.at[:, 0], self.at.gather(1, self.last[:, None])[:, 0]
        (zl, dl), (zr, dr) = self._tails()
        k = torch.where(z < zl, (lo - torch.expm1((zl - z).clamp(min=0)) / dl).floor(), k)
        return torch.where(z > zr, (hi + torch.expm1((z - zr).clamp(min=0)) / dr).floor(), k)

    def _bin(self, j: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Ends of the bins, the mass below their left and above their right end, and the mass per cell."""
        left, right = self.at.gather(1, j), self.at.gather(1, j + 1)
        below, above = self.below.gather(1, j), self.above.gather(1, j + 1)
        mass = (self.below.gather(1, j + 1) - below) / (right - left)
        return left.T, right.T, below.T, above.T, mass.T

    @staticmethod
    def _score(
        y: Tensor, left: Tensor, right: Tensor, below: Tensor, above: Tensor, mass: Tensor
    ) -> tuple[Tensor, Tensor]:
        """``z`` and ``log dz/dy`` within a bin; the upper half from above, where ``1 - u`` would cancel."""
        u = below + (y - left) * mass
        s = above + (right - y) * mass
        z = torch.where(u < 0.5, torch.special.ndtri(u), -torch.special.ndtri(s))
        return z, torch.log(mass) - normal_log_density(z)

    def _tails(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """``z`` and slope at the outer knots; infinite ``z`` where that end is closed."""
        last = self.last[:, None]
        first_mass = (self.below[:, 1] - self.below[:, 0]) / (self.at[:, 1] - self.at[:, 0])
        final = self.above.gather(1, last - 1)[:, 0] - self.above.gather(1, last)[:, 0]
        final_mass = final / (self.at.gather(1, last)[:, 0] - self.at.gather(1, last - 1)[:, 0])
        zl = torch.special.ndtri(self.below[:, 0])
        zr = -torch.special.ndtri(self.above.gather(1, last)[:, 0])
        return (zl, _slope(first_mass, zl)), (zr, _slope(final_mass, zr))


def _slope(mass: Tensor, z: Tensor) -> Tensor:
    steep = torch.where(torch.isfinite(z), z, 0.0)
    return mass / torch.exp(-0.5 * steep * steep - 0.5 * math.log(2 * math.pi))
