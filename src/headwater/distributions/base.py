"""What a base density is: where the noise of a flow lives."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.rng import Rng

__all__ = ["Base"]


class Base(nn.Module, ABC):
    """A density on vectors with a sampler; a module, since some have parameters."""

    @abstractmethod
    def log_prob(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, " batch"]:
        """``log p(z | context)`` in nats."""

    @abstractmethod
    def sample(
        self,
        rng: Rng,
        context: Float[Tensor, "batch context"] | None = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "batch features"]:
        """One draw per row of ``rng``; ``temperature`` scales its spread, zero gives the mode."""
