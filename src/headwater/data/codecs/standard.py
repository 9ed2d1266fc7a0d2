"""Real columns to roughly standard normal ones: a support map, then shift and scale or a quantile map.

``y = v`` (real), ``log v`` (positive) or ``logit`` of the place in ``[low, high]``
(interval); then ``z = (y - shift) / scale`` or a monotone spline of it. Where a value is
missing, ``z`` is drawn from the standard normal and ``-log q`` is accounted, a lower
bound of the likelihood of "missing" together with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.data.codecs.base import Encoded, Part, normal_log_density
from headwater.data.codecs.spline import spline_forward, spline_inverse
from headwater.events import Segment
from headwater.rng import Rng

__all__ = ["EDGE", "Continuous", "from_line", "to_line"]

EDGE = 1e-6
"""How far the logit of an interval keeps from its ends, which are values too."""

Shape = Literal["real", "positive", "interval"]


def to_line(v: Tensor, low: Tensor, high: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    """``y`` on the real line and ``log |dy/dv|``."""
    if shape == "positive":
        return torch.log(v), -torch.log(v)
    if shape == "interval":
        s = EDGE + (1 - 2 * EDGE) * (v - low) / (high - low)
        slope = torch.log((1 - 2 * EDGE) / (high - low)) - torch.log(s) - torch.log1p(-s)
        return torch.logit(s), slope
    return v, torch.zeros_like(v)


def from_line(y: Tensor, low: Tensor, high: Tensor, shape: Shape) -> Tensor:
    """Inverse of :func:`to_line`; intervals are closed, so a rounding beyond an end is put back on it."""
    if shape == "positive":
        return torch.exp(y)
    if shape == "interval":
        share = (torch.sigmoid(y) - EDGE) / (1 - 2 * EDGE)
        return low + (high - low) * share.clamp(0, 1)
    return y


class Continuous(Part):
    """Columns of one support: ``z = spline((to_line(v) - shift) / scale)``.

    Buffers (float64): ``low``, ``high``, ``shift``, ``scale`` ``(columns,)`` and, unless
    empty, the spline's ``knots``, ``heights``, ``slopes`` ``(columns, knots)`` and ``last``.
    """

    kind = "continuous"
    support: Shape
    missing: bool
    low: Tensor
    high: Tensor
    shift: Tensor
    scale: Tensor
    knots: Tensor
    heights: Tensor
    slopes: Tensor
    last: Tensor

    @property
    def width(self) -> int:
        return len(self.columns)

    @property
    def draws(self) -> bool:
        return self.missing

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        return tuple(Segment(name=name) for name in names)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        absent = torch.isnan(value)
        if self.missing:  # any value of the support stands in, so that no NaN reaches a sum
            value = torch.where(absent, self._middle(), value)
        y, ladj = to_line(value, self.low, self.high, self.support)
        z, ladj = (y - self.shift) / self.scale, ladj - torch.log(self.scale)
        if self.knots.numel():
            z, bend = spline_forward(z, self.knots, self.heights, self.slopes, self.last)
            ladj = ladj + bend
        if self.missing:
            draw = rng.normal("absent", z.shape[1], dtype=torch.float64)
            z = torch.where(absent, draw, z)
            ladj = torch.where(absent, -normal_log_density(draw), ladj)
        return Encoded(z, ladj.sum(1))

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        y = x.double()
        if self.knots.numel():
            y = spline_inverse(y, self.knots, self.heights, self.slopes, self.last)
        return from_line(y * self.scale + self.shift, self.low, self.high, self.support)

    def _middle(self) -> Tensor:
        return from_line(self.shift, self.low, self.high, self.support)
