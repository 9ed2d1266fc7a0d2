"""What a base density is: where the noise of a flow lives."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.rng import Rng

__all__ = ["Base", "Estimated"]


class Base(nn.Module, ABC):
    """A density on vectors with a sampler; a module, since some have parameters.

    Attributes:
        reparameterized: Whether samples carry the gradient of the base's parameters.
    """

    reparameterized: bool = True

    @abstractmethod
    def log_prob(
        self,
        z: Float[Tensor, "batch features"],
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, " batch"]:
        """``log p(z | context)`` in nats.

        Where the normalization constant is only estimated (:class:`Estimated`), ``rng`` asks for
        an unbiased estimate of a lower bound from draws of its own for each row, to train on.
        """

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


class Estimated(ABC):
    """A base whose normalization constant is estimated, so that its log-density is an estimate too.

    Attributes:
        draws: How many draws the constant is estimated from.
    """

    draws: int

    @abstractmethod
    def standard_error(self, z: Float[Tensor, "batch features"]) -> Float[Tensor, " batch"]:
        """Standard error of ``log_prob(z)`` due to those draws, in nats."""
