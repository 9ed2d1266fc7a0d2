"""Residual convolutional network from maps to maps of the same height and width."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.conv_block import ConvBlock
from headwater.networks.mlp import ACTIVATIONS

__all__ = ["ResidualConv"]


@final
class ResidualConv(nn.Module):
    """Convolution in, ``blocks`` residual blocks of ``width`` channels, convolution out: :class:`MLP` on maps.

    Args:
        channels: Channels of the input.
        out: Channels of the output.
        width: Hidden channels.
        blocks: Number of residual blocks of two convolutions.
        condition: Length of a conditioning vector given to the entry and every block; 0 for none.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
        zero_init: Start the output at zero.

    >>> ResidualConv(3, 2, width=8, blocks=1)(torch.zeros(5, 3, 4, 6)).shape
    torch.Size([5, 2, 4, 6])
    """

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        width: int = 64,
        blocks: int = 2,
        condition: int = 0,
        activation: str = "silu",
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.entry = nn.Conv2d(channels, width, 3, padding=1)
        self.condition = nn.Linear(condition, width, bias=False) if condition else None
        self.blocks = nn.ModuleList(ConvBlock(width, condition, activation) for _ in range(blocks))
        self.activation = ACTIVATIONS[activation]()
        self.exit = nn.Conv2d(width, out, 3, padding=1)
        if zero_init:
            nn.init.zeros_(self.exit.weight)
            nn.init.zeros_(torch.as_tensor(self.exit.bias))

    def forward(
        self, x: Float[Tensor, "batch channels height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch out height width"]:
        h = self.entry(x)
        if self.condition is not None:
            h = h + self.condition(c)[:, :, None, None]
        for block in self.blocks:
            h = block(h, c)
        out: Tensor = self.exit(self.activation(h))
        return out
