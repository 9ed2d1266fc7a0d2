"""Intervals, angles, unit vectors and compositions as they are, for models that know what they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.data.codecs.base import Encoded, Part
from headwater.events import Segment, Support
from headwater.rng import Rng

__all__ = ["Kept", "Points"]


class Kept(Part):
    """Columns of one support: an angle in ``[0, 2 pi)``, or the place in an interval in ``[0, 1]``.

    ``x = top (v - low) / (high - low)`` with ``top`` 2 pi or 1. A missing value is drawn uniformly,
    ``q = 1 / top``, beside the indicator that says so. Buffers (float64): ``low``, ``high`` ``(columns,)``.
    """

    kind = "kept"
    support: str
    missing: bool
    low: Tensor
    high: Tensor

    @property
    def width(self) -> int:
        return len(self.columns)

    @property
    def draws(self) -> bool:
        return self.missing

    @property
    def top(self) -> float:
        """The length of the encoded support."""
        return 2 * math.pi if self.support == Support.CIRCLE else 1.0

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        if self.support == Support.CIRCLE:
            return tuple(Segment(support=Support.CIRCLE, name=name) for name in names)
        return tuple(Segment(support=Support.INTERVAL, low=0, high=1, name=name) for name in names)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        scale = self.top / (self.high - self.low)
        x, ladj = (value - self.low) * scale, torch.log(scale).expand_as(value)
        if self.missing:
            absent = torch.isnan(value)
            draw = self.top * rng.uniform("absent", x.shape[1], dtype=torch.float64)
            x = torch.where(absent, draw, x)
            ladj = torch.where(absent, math.log(self.top), ladj)
        return Encoded(x, ladj.sum(1))

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        share = x.double() / self.top
        if self.support == Support.CIRCLE:
            v = self.low + (self.high - self.low) * torch.remainder(share, 1.0)
            return torch.where(v >= self.high, self.low.expand_as(v), v)
        share = share.clamp(0, 1)
        return torch.minimum(torch.maximum(self.low * (1 - share) + self.high * share, self.low), self.high)


class Points(Part):
    """One unit vector, divided by its length, or one composition, divided by its sum; both are one but for rounding.

    The density is with respect to the surface of the sphere, or the Lebesgue measure of all parts but the last.
    """

    kind = "points"
    support: str

    @property
    def width(self) -> int:
        return len(self.columns)

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        return (Segment(support=Support(self.support), size=len(self.columns), name=", ".join(names)),)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        return Encoded(self.decode(value), torch.zeros(value.shape[0], dtype=torch.float64, device=value.device))

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        v = x.double()
        if self.support == Support.SPHERE:
            return v / v.norm(dim=1, keepdim=True)
        v = v.clamp(min=0)
        return v / v.sum(dim=1, keepdim=True)
