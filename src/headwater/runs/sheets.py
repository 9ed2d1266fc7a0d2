"""Many small pictures on one sheet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from headwater.errors import UsageError

__all__ = ["make_grid", "to_picture", "to_pixels"]

_PADDING = 2
_SMALLEST_TILE = 48
_LARGEST_SIDE = 16_384


def to_pixels(images: Any) -> UInt8[np.ndarray, "n channels height width"]:
    """Pictures as 8-bit pixels: integers as they are (16 bits lose the lower ones), floats taken to lie in [0, 1].

    Args:
        images: Array or tensor (n, channels, height, width) or (n, height, width).

    Raises:
        UsageError: another shape, or more than 4 channels.
    """
    pixels = np.asarray(images.detach().cpu() if hasattr(images, "detach") else images)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    if pixels.ndim == 4 and pixels.shape[1] not in (1, 3, 4) and pixels.shape[3] in (1, 3, 4):
        pixels = pixels.transpose(0, 3, 1, 2)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 2, 3, 4):
        raise UsageError(
            f"Expected pictures of shape (n, channels, height, width) with 1 to 4 channels, got {pixels.shape}.",
            hint="Write other arrays as .npz.",
        )
    if np.issubdtype(pixels.dtype, np.floating):
        pixels = (np.clip(pixels, 0, 1) * 255).round()
    elif pixels.dtype == np.uint16:
        pixels = pixels >> 8
    return np.ascontiguousarray(pixels.astype(np.uint8))


def to_picture(pixels: UInt8[np.ndarray, "channels height width"]) -> Image.Image:
    """One picture."""
    channels = pixels.shape[0]
    plane = pixels[0] if channels == 1 else pixels.transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(plane), mode=None)


def make_grid(images: Any, *, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """All pictures on one sheet, row by row; tiny ones are enlarged by whole pixels.

    Args:
        images: As :func:`to_pixels` takes them; at least one.
        columns: Pictures per row; None: as square as possible.
        scale: Enlargement; None: at least 48 pixels per side.

    >>> make_grid(np.zeros((5, 1, 8, 8), np.uint8)).size
    (152, 102)

    Raises:
        UsageError: no picture, or a sheet of more than 16384 pixels per side.
    """
    pixels = to_pixels(images)
    n, channels, height, width = pixels.shape
    if n == 0:
        raise UsageError("Expected at least one picture for a sheet, got none.")
    scale = scale or max(1, math.ceil(_SMALLEST_TILE / max(height, width)))
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    rows = math.ceil(n / columns)
    tall, wide = height * scale + _PADDING, width * scale + _PADDING
    if max(rows * tall, columns * wide) + _PADDING > _LARGEST_SIDE:
        raise UsageError(f"{n} pictures do not fit on one sheet.", hint="Write them to a folder or as .npz.")
    sheet = np.full((channels, rows * tall + _PADDING, columns * wide + _PADDING), 128, dtype=np.uint8)
    large = pixels.repeat(scale, axis=2).repeat(scale, axis=3)
    for i in range(n):
        top, left = (i // columns) * tall + _PADDING, (i % columns) * wide + _PADDING
        sheet[:, top : top + height * scale, left : left + width * scale] = large[i]
    return to_picture(sheet)
