"""Convolutional residual network from pictures to pictures of the same sides."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.mlp import ACTIVATIONS

__all__ = ["ResidualConvNet"]


@final
class _Block(nn.Module):
    """``h + W2 act(W1 act(h) + V c)`` with 3 x 3 convolutions, W2 starting at zero."""

    def __init__(self, width: int, condition: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 1)
        self.condition = nn.Linear(condition, width, bias=False) if condition else None
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(torch.as_tensor(self.outer.bias))

    def forward(self, h: Tensor, c: Tensor | None) -> Tensor:
        inner = self.inner(self.activation(h))
        if self.condition is not None:
            assert c is not None
            inner = inner + self.condition(c)[:, :, None, None]
        return h + torch.as_tensor(self.outer(self.activation(inner)))


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
        self.blocks = nn.ModuleList(_Block(width, condition, activation) for _ in range(blocks))
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
