"""Classifier-free guidance of a bijection whose parameters a network predicts from a context."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Guidance"]


class Guidance:
    """``θ = θ(∅) + w (θ(c) - θ(∅))``: both predictions in one batch, ``copies`` times as long.

    All numbers are parameters of a bijection, so that extrapolated ones are too.

    Classifier-Free Diffusion Guidance (Ho & Salimans, 2022), https://arxiv.org/abs/2207.12598, whose weight is ours
    minus one; of affine maps: Normalizing Flows are Capable Generative Models (Zhai et al., 2024),
    https://arxiv.org/abs/2412.06329.

    Args:
        context: ``c``; None where there is none.
        free: ``∅``, the context that stands for "absent"; needed unless the weight is one.
        weight: ``w``.
    """

    def __init__(
        self,
        context: Float[Tensor, "batch size"] | None,
        free: Float[Tensor, "batch size"] | None = None,
        weight: float = 1.0,
    ) -> None:
        assert weight == 1 or (context is not None and free is not None), "guidance needs two contexts"
        self._context, self._free, self._weight = context, free, weight
        self.copies = 1 if weight == 1 else 2

    @property
    def context(self) -> Float[Tensor, "batch_copies size"] | None:
        """What the network is given."""
        if self._context is None or self._free is None or self.copies == 1:
            return self._context
        return torch.cat([self._context, self._free])

    def rows(self, index: Int64[Tensor, " chosen"]) -> Guidance:
        """That of some events."""
        context, free = (None if c is None else c[index] for c in (self._context, self._free))
        return Guidance(context, free, self._weight)

    def mix(self, parameters: Float[Tensor, "batch_copies *shape"]) -> Float[Tensor, "batch *shape"]:
        """One ``θ`` per event from the predictions."""
        if self.copies == 1:
            return parameters
        conditional, free = parameters.chunk(2)
        return free + self._weight * (conditional - free)
