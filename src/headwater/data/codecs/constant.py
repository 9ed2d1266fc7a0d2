"""Columns that have one value: nothing to learn, nothing in the event, restored exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.data.codecs.base import Encoded, Part
from headwater.events import Segment
from headwater.rng import Rng

__all__ = ["Constant"]


class Constant(Part):
    """``v = values``; NaN for a column that is always missing."""

    kind = "constant"
    values: Tensor

    @property
    def width(self) -> int:
        return 0

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        return ()

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        return Encoded(value[:, :0], torch.zeros(value.shape[0], dtype=torch.float64, device=value.device))

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        return self.values.expand(x.shape[0], -1)
