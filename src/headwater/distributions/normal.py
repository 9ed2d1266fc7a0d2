"""The standard normal density."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.base import Base
from headwater.rng import Rng

__all__ = ["StandardNormal"]


class StandardNormal(Base):
    """``log p(z) = -|z|^2 / 2 - D/2 log(2 pi)``; sampling at temperature ``T`` draws from ``N(0, T^2 I)``.

    >>> StandardNormal(2).log_prob(torch.zeros(1, 2)).item()  # -log(2 pi)
    -1.8378770351409912
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def log_prob(
        self,
        z: Float[Tensor, "batch features"],
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, " batch"]:
        return -0.5 * z.square().sum(dim=1) - 0.5 * self.features * math.log(2 * math.pi)

    def sample(
        self,
        rng: Rng,
        context: Float[Tensor, "batch context"] | None = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "batch features"]:
        return temperature * rng.normal("base", self.features, dtype=dtype)

    def extra_repr(self) -> str:
        return f"{self.features}"
