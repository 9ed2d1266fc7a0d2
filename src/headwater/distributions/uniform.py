"""The uniform density on a box."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.base import Base
from headwater.rng import Rng

__all__ = ["Uniform"]


class Uniform(Base):
    """``log p(z) = -D log(high - low)`` on the closed box ``[low, high]^D``, minus infinity outside.

    Sampling at temperature ``T`` draws from the box shrunk (or grown) by ``T`` around its centre.

    Args:
        features: ``D``.
        low: Lower end of every element.
        high: Upper end of every element.

    >>> Uniform(2, -1.0, 1.0).log_prob(torch.tensor([[0.5, 1.0], [0.0, 1.5]])).exp().tolist()
    [0.25, 0.0]
    """

    def __init__(self, features: int, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.features, self.low, self.high = features, low, high

    def log_prob(
        self,
        z: Float[Tensor, "batch features"],
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, " batch"]:
        inside = ((z >= self.low) & (z <= self.high)).all(dim=1)
        level = z.new_full((z.shape[0],), -self.features * math.log(self.high - self.low))
        return torch.where(inside, level, torch.full_like(level, -math.inf))

    def sample(
        self,
        rng: Rng,
        context: Float[Tensor, "batch context"] | None = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "batch features"]:
        u = rng.uniform("base", self.features, dtype=dtype) - 0.5
        return (self.low + self.high) / 2 + temperature * (self.high - self.low) * u

    def extra_repr(self) -> str:
        return f"{self.features}, [{self.low:g}, {self.high:g}]"
