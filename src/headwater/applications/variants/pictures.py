"""Matplotlib figures as PNG whose words come from files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from headwater.evaluation.canvas import pixels_of, style

__all__ = ["plain_style", "png_bytes"]


@contextmanager
def plain_style() -> Iterator[None]:
    """The house's style, in which a dollar sign in a name is a dollar sign and no formula.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    with style():
        import matplotlib

        matplotlib.rcParams["text.parse_math"] = False
        yield


def png_bytes(figure: Any, dpi: int = 144) -> bytes:
    """A figure as PNG, without date or version."""
    out = io.BytesIO()
    Image.fromarray(pixels_of(figure, dpi)).save(out, format="PNG", optimize=True)
    return out.getvalue()
