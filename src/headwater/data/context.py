"""What a conditional model is told: a one-hot class, or a number beside a constant one; zeros mean absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.config import Config
from headwater.errors import DataError
from headwater.events import ContextSpec

__all__ = ["ContextCodec"]


class ContextCodec(Config):
    """Labels to context vectors.

    Classes are codes 0 .. K-1, -1 for "no label". A number ``y`` becomes ``((y - shift) / scale, 1)``, NaN no label.
    """

    classes: tuple[str, ...] = ()
    number: bool = False
    shift: float = 0.0
    scale: float = 1.0

    @classmethod
    def fit(cls, classes: tuple[str, ...], labels: np.ndarray) -> ContextCodec:
        """To the training labels: nothing for classes, mean and spread for a number."""
        if classes:
            return cls(classes=classes)
        values = labels[np.isfinite(labels)]
        spread = float(values.std()) if len(values) else 0.0
        return cls(number=True, shift=float(values.mean()) if len(values) else 0.0, scale=spread or 1.0)

    @property
    def spec(self) -> ContextSpec:
        """What models see."""
        return ContextSpec(size=2 if self.number else len(self.classes), classes=self.classes)

    def encode(
        self, labels: Shaped[Tensor, " n"] | None, n: int, dtype: torch.dtype, device: torch.device
    ) -> Float[Tensor, "n context"] | None:
        """Context of ``n`` events; None where the model is unconditional.

        Raises:
            DataError: labels that are no class.
        """
        size = self.spec.size
        if size == 0:
            return None
        if labels is None:
            return torch.zeros(n, size, dtype=dtype, device=device)
        labels = labels.to(device)
        if self.number:
            value = (labels.double() - self.shift) / self.scale
            present = torch.isfinite(value)
            rows = torch.stack([torch.where(present, value, 0.0), present.double()], dim=1)
            return rows.to(dtype)
        codes = labels.long()
        if bool(((codes < -1) | (codes >= size)).any()):
            raise DataError(
                f"Expected labels -1 .. {size - 1}, got {int(codes.min())} .. {int(codes.max())}.",
                hint=f"The classes are: {', '.join(self.classes[:20])}.",
            )
        return (codes[:, None] == torch.arange(size, device=device)).to(dtype)

    def to_json(self) -> dict[str, Any]:
        """Inert data."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ContextCodec:
        """What :meth:`to_json` wrote."""
        return cls.parse(values, where="codec.json: context")
