"""Pictures: integers 0 .. L-1 per pixel, kept, dequantized to [-1, 1], or dequantized and passed through a logit.

Dequantization spreads ``v`` uniformly over its cell, ``y = v + e``, so that for any
density model ``p`` of ``y``: ``log P(v) >= E_e[log p(v + e)]``.
Reference: A Note on the Evaluation of Generative Models (Theis, van den Oord, Bethge, 2016), https://arxiv.org/abs/1511.01844

The logit follows Density Estimation Using Real NVP (Dinh, Sohl-Dickstein, Bengio, 2017), https://arxiv.org/abs/1605.08803
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.data.codecs.base import Encoded, Part
from headwater.events import Segment, Support
from headwater.rng import Rng

__all__ = ["ALPHA", "LinearPixels", "LogitPixels", "NativePixels", "dequantize"]

ALPHA = 0.05
"""How far the logit keeps from 0 and 1: ``s = alpha + (1 - 2 alpha) y / L`` as in Real NVP."""


def dequantize(
    value: Float[Tensor, "*shape"], noise: Float[Tensor, "*shape"], margin: float | Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """``y = v + m + (1 - 2m) e``: uniform over the cell but for a margin ``m`` at its edges.

    The margin keeps rounding to float32 from crossing into the next cell, so that
    decoding is exact; ``-log q(y | v) = log(1 - 2m)`` keeps the bound honest.
    """
    return value + margin + (1 - 2 * margin) * noise


class _Pixels(Part):
    levels: int
    size: int

    @property
    def width(self) -> int:
        return self.size

    def _spread(self, value: Tensor, rng: Rng, dtype: torch.dtype) -> tuple[Tensor, float]:
        margin = self.levels * torch.finfo(dtype).eps
        noise = rng.uniform("dequantize", self.size, dtype=torch.float64)
        return dequantize(value.double(), noise, margin) / self.levels, math.log1p(-2 * margin)

    def _cell(self, u: Tensor) -> Tensor:
        return (u * self.levels).floor().clamp(0, self.levels - 1)


class NativePixels(_Pixels):
    """``x = v``."""

    kind = "pixels"

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        if self.levels == 2:
            return (Segment(support=Support.BINARY, size=self.size),)
        return (Segment(support=Support.INTEGER, size=self.size, low=0, high=self.levels - 1),)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        return Encoded(value, torch.zeros(value.shape[0], dtype=torch.float64, device=value.device))

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        return x.round().clamp(0, self.levels - 1)


class LinearPixels(_Pixels):
    """``x = 2 (v + e) / L - 1``; ``ladj = D log(2 / L)``."""

    kind = "pixels-linear"
    noisy = True

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        return (Segment(size=self.size),)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        u, log_cell = self._spread(value, rng, dtype)
        ladj = self.size * (math.log(2 / self.levels) + log_cell)
        return Encoded(2 * u - 1, torch.full((value.shape[0],), ladj, dtype=torch.float64, device=value.device))

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        return self._cell((x.double() + 1) / 2)


class LogitPixels(_Pixels):
    """``s = a + (1 - 2a) (v + e) / L``, ``x = logit(s)``; ``ladj = sum log((1 - 2a) / (L s (1 - s)))``."""

    kind = "pixels-logit"
    noisy = True
    alpha: float

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        return (Segment(size=self.size),)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        u, log_cell = self._spread(value, rng, dtype)
        s = self.alpha + (1 - 2 * self.alpha) * u
        log_s, log_rest = torch.log(s), torch.log1p(-s)
        constant = math.log((1 - 2 * self.alpha) / self.levels) + log_cell
        return Encoded(log_s - log_rest, self.size * constant - (log_s + log_rest).sum(1))

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        return self._cell((torch.sigmoid(x.double()) - self.alpha) / (1 - 2 * self.alpha))
