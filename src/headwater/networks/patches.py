"""A picture as a sequence of patches, and which pixels around a patch are known before it."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

__all__ = ["causal_window", "choose_patch", "patch_order"]


def choose_patch(height: int, width: int, most: int = 200, least: int = 4) -> tuple[int, int]:
    """The smallest patch of at least ``least`` pixels that makes at most ``most`` of them: part of a row, if possible.

    >>> choose_patch(8, 8), choose_patch(28, 28), choose_patch(64, 64)
    ((1, 4), (1, 4), (1, 32))
    """
    divides = [(h, w) for h in range(1, height + 1) for w in range(1, width + 1) if height % h == 0 and width % w == 0]
    fitting = [(h, w) for h, w in divides if (height // h) * (width // w) <= most and h * w >= least]
    return min(fitting or [(height, width)], key=lambda patch: (patch[0] * patch[1], patch[0]))


def patch_order(shape: tuple[int, int, int], patch: tuple[int, int]) -> Int64[Tensor, "tokens elements"]:
    """Flat places ``(c H + y) W + x`` of the elements of each patch: patches and their pixels row by row, colours last.

    >>> patch_order((1, 2, 4), (1, 2)).tolist()
    [[0, 1], [2, 3], [4, 5], [6, 7]]
    """
    channels, height, width = shape
    places = torch.arange(channels * height * width).reshape(channels, height, width).permute(1, 2, 0)
    tiles = places.reshape(height // patch[0], patch[0], width // patch[1], patch[1], channels)
    return tiles.permute(0, 2, 1, 3, 4).reshape(-1, patch[0] * patch[1] * channels)


def causal_window(
    shape: tuple[int, int, int], patch: tuple[int, int], reach: int
) -> Int64[Tensor, "tokens neighbours"]:
    """Flat places of the elements within ``reach`` pixels of each patch, above it and beside it.

    A place outside the picture, or in this or a later patch, is replaced by the number
    of elements ``C H W``, where the caller keeps a zero.
    """
    channels, height, width = shape
    (ph, pw), columns = patch, width // patch[1]
    token = torch.arange((height // ph) * columns)
    top, left = (token // columns) * ph, (token % columns) * pw
    dy, dx = torch.meshgrid(torch.arange(-reach, ph), torch.arange(-reach, pw + reach), indexing="ij")
    y, x = top[:, None] + dy.flatten(), left[:, None] + dx.flatten()
    inside = (y >= 0) & (x >= 0) & (x < width)
    known = inside & ((y // ph) * columns + x // pw < token[:, None])
    none = channels * height * width
    places = [torch.where(known, (c * height + y) * width + x, none) for c in range(channels)]
    window = torch.cat(places, dim=1)
    return window[:, (window != none).any(dim=0)]
