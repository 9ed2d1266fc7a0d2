"""Convolutional residual encoder and decoder for pictures of any channels, height and width."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from headwater.networks.conv_block import ConvBlock
from headwater.networks.mlp import ACTIVATIONS

__all__ = ["ConvDecoder", "ConvEncoder", "pyramid"]

_COARSE = 8  # halve until both sides are at most this


def pyramid(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """The sizes a picture passes on its way down: halved, rounding up, until both sides are at most 8.

    The first halving is a patch of 2 x 2 pixels folded into channels, so nothing runs
    at full resolution unless the picture is as small as that.

    >>> pyramid(28, 20)
    ((14, 10), (7, 5))
    >>> pyramid(4, 4)
    ((4, 4),)
    """
    sizes = [(height, width)]
    while max(sizes[-1]) > _COARSE:
        sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
    return tuple(sizes[1:]) if len(sizes) > 1 else tuple(sizes)


def _channels(width: int, levels: int) -> list[int]:
    """``width`` at the finest level, doubled at each coarser one, at most fourfold."""
    return [width * min(2**level, 4) for level in range(levels)]


@final
class ConvEncoder(nn.Module):
    """Pictures to vectors: patches, residual blocks, strided convolutions, one linear map at the coarsest size.

    Args:
        shape: Channels, height, width of the input; any height and width.
        out: Length of the output.
        width: Channels at the finest level.
        blocks: Residual blocks per level.
        condition: Length of a conditioning vector given to every block; 0 for none.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.

    >>> ConvEncoder((3, 9, 5), 7, width=8)(torch.zeros(2, 3, 9, 5)).shape
    torch.Size([2, 7])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        out: int,
        *,
        width: int = 32,
        blocks: int = 1,
        condition: int = 0,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        sizes = pyramid(*shape[1:])
        channels = _channels(width, len(sizes))
        self.patch = 1 if sizes[0] == shape[1:] else 2
        self.entry = nn.Conv2d(shape[0], channels[0], self.patch + 2, stride=self.patch, padding=1)
        self.odd = (0, shape[2] % self.patch, 0, shape[1] % self.patch)
        self.levels = nn.ModuleList(
            nn.ModuleList(ConvBlock(c, condition, activation) for _ in range(blocks)) for c in channels
        )
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels))
        self.activation = ACTIVATIONS[activation]()
        self.exit = nn.Linear(channels[-1] * math.prod(sizes[-1]) + condition, out)

    def forward(
        self, x: Float[Tensor, "batch channels height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch out"]:
        h = self.entry(functional.pad(x, self.odd))
        for level, blocks in enumerate(self.levels):
            h = self.down[level - 1](h) if level else h
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                h = block(h, c)
        h = self.activation(h).flatten(1)
        out: Tensor = self.exit(h if c is None else torch.cat([h, c], dim=-1))
        return out


@final
class ConvDecoder(nn.Module):
    """Vectors to maps: one linear map to the coarsest size, residual blocks, nearest upsampling, sub-pixel exit.

    The exit makes ``patch^2`` maps per output channel and folds them into pixels, then
    crops odd sizes:
    Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network (Shi et al., 2016), https://arxiv.org/abs/1609.05158.

    Args:
        features: Length of the input.
        shape: Channels, height, width of the output maps.
        width: Channels at the finest level.
        blocks: Residual blocks per level.
        condition: Length of a conditioning vector given to every block; 0 for none.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.

    >>> ConvDecoder(7, (3, 9, 5), width=8)(torch.zeros(2, 7)).shape
    torch.Size([2, 3, 9, 5])
    """

    def __init__(
        self,
        features: int,
        shape: tuple[int, int, int],
        *,
        width: int = 32,
        blocks: int = 1,
        condition: int = 0,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.shape = shape
        sizes = pyramid(*shape[1:])[::-1]
        channels = _channels(width, len(sizes))[::-1]
        self.sizes = sizes
        self.patch = 1 if sizes[-1] == shape[1:] else 2
        self.entry = nn.Linear(features + condition, channels[0] * math.prod(sizes[0]))
        self.levels = nn.ModuleList(
            nn.ModuleList(ConvBlock(c, condition, activation) for _ in range(blocks)) for c in channels
        )
        self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(channels))
        self.activation = ACTIVATIONS[activation]()
        self.exit = nn.Conv2d(channels[-1], shape[0] * self.patch**2, 3, padding=1)

    def forward(
        self, z: Float[Tensor, "batch features"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch channels height width"]:
        h = self.entry(z if c is None else torch.cat([z, c], dim=-1))
        h = h.reshape(len(z), -1, *self.sizes[0])
        for level, blocks in enumerate(self.levels):
            if level:
                # convolving before the upsampling is the same map for a quarter of the work, up to the borders' blur
                h = functional.interpolate(self.up[level - 1](h), size=self.sizes[level], mode="nearest")
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                h = block(h, c)
        maps = functional.pixel_shuffle(self.exit(self.activation(h)), self.patch)
        return maps[:, :, : self.shape[1], : self.shape[2]]
