"""Flows whose codes are their noise."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from headwater.models.base import Invertible, Latent

__all__ = ["NoiseCodes"]


class NoiseCodes(Latent, Invertible):
    """The code of an event is the noise it comes from; the event of a code is what that noise becomes."""

    def encode(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch latent"]:
        return self.to_noise(x, context=context)

    def decode(
        self, z: Float[Tensor, "batch latent"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        return self.from_noise(z, context=context)
