"""Discrete columns as they are: codes 0 .. K-1, a probability per value, no noise unless a number is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.data.codecs.base import Encoded, Part
from headwater.events import Segment, Support
from headwater.rng import Rng

__all__ = ["Codes", "GappedCodes"]


class Codes(Part):
    """``x = (v - origin) / step`` in ``0 .. classes-1``; buffers ``origin``, ``step`` ``(columns,)``.

    A missing category is the last class. A missing number is drawn uniformly, ``q = 1 / classes``, beside
    the indicator that says so.
    """

    kind = "codes"
    gapped: ClassVar[bool] = False
    support: str
    classes: int
    missing: bool
    origin: Tensor
    step: Tensor

    @property
    def width(self) -> int:
        return len(self.columns)

    @property
    def draws(self) -> bool:
        return self.missing and self.support != Support.CATEGORICAL

    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        kind = Support(self.support)
        extra: dict[str, float] = {"missing": True} if self.gapped else {}
        if kind is Support.INTEGER:
            extra = {"low": 0, "high": self.classes - 1}
        elif kind is Support.CATEGORICAL:
            extra["classes"] = self.classes
        return tuple(Segment.model_validate({"support": kind, "name": name, **extra}) for name in names)

    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        absent = torch.isnan(value)
        x = ((value - self.origin) / self.step).round()
        ladj = torch.zeros(value.shape[0], dtype=torch.float64, device=value.device)
        if self.missing and not self.draws:
            x = torch.where(absent, float(self.classes - 1), x)
        elif self.missing:
            draw = (rng.uniform("absent", x.shape[1], dtype=torch.float64) * self.classes).floor()
            x = torch.where(absent, draw, x)
            ladj = absent.sum(1) * torch.log(torch.tensor(self.classes, dtype=torch.float64, device=x.device))
        return Encoded(x, ladj)

    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        code = x.double().round().clamp(0, self.classes - 1)
        value = self.origin + self.step * code
        if self.missing and not self.draws:
            return torch.where(code == self.classes - 1, torch.nan, value)
        return value


class GappedCodes(Codes):
    """Codes whose last class is stored like the others and stands for a missing value: the gaps of an alignment."""

    kind = "gapped"
    gapped = True
