"""Pictures whose words come from files: Matplotlib figures as PNG, and files by their ending."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from headwater.errors import UsageError
from headwater.evaluation.canvas import pixels_of, style
from headwater.runs.files import write_atomic

__all__ = ["plain_style", "png_bytes", "write_picture"]


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


def write_picture(path: Path | str, what: str, svg: Callable[[], str], png: Callable[[], bytes]) -> Path:
    """Write a picture as its file's ending says, ``.svg`` or ``.png``.

    Args:
        path: The file; replaced as a whole.
        what: Name of such a picture, for the error.
        svg: Draws it as SVG.
        png: Draws it as PNG.

    Raises:
        UsageError: another ending.
        ResourceError: the file cannot be written.
    """
    target = Path(path)
    if target.suffix not in (".svg", ".png"):
        raise UsageError(
            f"A {what} is written as .svg or .png; got {target.suffix or 'no ending'!r}.",
            hint=f"Type: {target.with_suffix('.svg').name}",
        )
    write_atomic(target, svg().encode() if target.suffix == ".svg" else png())
    return target
