"""The residual block that the convolutional networks are made of."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.mlp import ACTIVATIONS

__all__ = ["ConvBlock"]


@final
class ConvBlock(nn.Module):
    """``h + W2 act(W1 act(h) + V c)`` on maps: ``W1`` a 3 x 3 convolution, ``W2`` another that starts at zero.

    Args:
        channels: Channels in, inside and out.
        condition: Length of the conditioning vector ``c``; 0 for none.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
        last: Side of ``W2``'s kernel, odd.

    >>> ConvBlock(2, 0, "silu")(torch.ones(1, 2, 3, 3)).sum().item()
    18.0
    """

    def __init__(self, channels: int, condition: int, activation: str, *, last: int = 3) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.inner = nn.Conv2d(channels, channels, 3, padding=1)
        self.outer = nn.Conv2d(channels, channels, last, padding=last // 2)
        self.condition = nn.Linear(condition, channels, bias=False) if condition else None
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(torch.as_tensor(self.outer.bias))

    def forward(
        self, h: Float[Tensor, "batch channels height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        inner = self.inner(self.activation(h))
        if self.condition is not None:
            assert c is not None, "a conditioned block needs its vector"
            inner = inner + self.condition(c)[:, :, None, None]
        out: Tensor = h + self.outer(self.activation(inner))
        return out
