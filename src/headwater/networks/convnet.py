"""Convolutional residual network from pictures to pictures of the same sides."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.conv_block import ConvBlock
from headwater.networks.mlp import ACTIVATIONS

__all__ = ["ResidualConvNet"]


@final
class ResidualConvNet(nn.Module):
    """3 x 3 convolution and a learned map of places in, ``blocks`` residual blocks, 1 x 1 convolution out.

    Nothing is pooled, so that each output pixel belongs to its input pixel.

    Args:
        shape: Channels, height, width of the input.
        out: Channels of the output.
        width: Channels inside.
        blocks: Residual blocks.
        condition: Length of a conditioning vector given to the entry and every block; 0 for none.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.

    >>> ResidualConvNet((2, 5, 7), 6, width=8)(torch.zeros(3, 2, 5, 7)).shape
    torch.Size([3, 6, 5, 7])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        out: int,
        *,
        width: int = 64,
        blocks: int = 1,
        condition: int = 0,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.entry = nn.Conv2d(shape[0], width, 3, padding=1)
        self.places = nn.Parameter(0.1 * torch.randn(width, *shape[1:]))
        self.condition = nn.Linear(condition, width, bias=False) if condition else None
        self.blocks = nn.ModuleList(ConvBlock(width, condition, activation, last=1) for _ in range(blocks))
        self.activation = ACTIVATIONS[activation]()
        self.exit = nn.Conv2d(width, out, 1)

    def forward(
        self, x: Float[Tensor, "batch channels height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch out height width"]:
        h = self.entry(x.contiguous(memory_format=torch.channels_last)) + self.places
        if self.condition is not None:
            assert c is not None
            h = h + self.condition(c)[:, :, None, None]
        for block in self.blocks:
            h = block(h, c)
        out: Tensor = self.exit(self.activation(h))
        return out
