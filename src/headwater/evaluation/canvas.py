"""Figures by matplotlib as files: SVG that is the same bytes for the same input, and frames of an animation."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from headwater.errors import MissingExtraError

__all__ = ["GENERATED", "INK", "REAL", "gif_bytes", "hues", "new_figure", "pixels_of", "style", "svg_bytes"]

REAL, GENERATED, INK = "#7d878f", "#0b6e8a", "#1d2327"
_MOST_COLOURS = 255
_STYLE: Any = {
    "svg.hashsalt": "headwater",
    "svg.fonttype": "path",  # the same look in every viewer, whatever fonts it has
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#c9ced2",
    "axes.labelcolor": "#3c454c",
    "axes.linewidth": 0.8,
    "xtick.color": "#5a646c",
    "ytick.color": "#5a646c",
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "text.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "path.simplify": True,
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib in the house's style, whatever the user's own settings are.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise MissingExtraError("matplotlib", "report", "Plotting") from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(width: float, height: float) -> Any:
    """A figure of so many inches on an Agg canvas; within :func:`style`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def svg_bytes(figure: Any) -> bytes:
    """The figure as SVG without date or version."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", dpi=160, metadata={"Date": None, "Creator": None})
    return out.getvalue()


def pixels_of(figure: Any, dpi: int = 100) -> UInt8[np.ndarray, "height width 3"]:
    """The figure as pixels."""
    figure.set_dpi(dpi)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def gif_bytes(frames: Sequence[Image.Image], milliseconds: Callable[[int], int]) -> bytes:
    """An endless GIF with one palette for all frames, taken from the first, the middle and the last.

    Args:
        frames: At least one, of one size.
        milliseconds: How long the frame of a number is shown.
    """
    few = [frames[0], frames[len(frames) // 2], frames[-1]]
    wide = Image.new("RGB", (few[0].width, few[0].height * len(few)))
    for i, frame in enumerate(few):
        wide.paste(frame.convert("RGB"), (0, i * frame.height))
    palette = wide.quantize(_MOST_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small = [frame.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    out = io.BytesIO()
    durations = [milliseconds(i) for i in range(len(frames))]
    small[0].save(out, format="GIF", save_all=True, append_images=small[1:], duration=durations, loop=0, optimize=False)
    return out.getvalue()


def hues(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n 3"]:
    """A colour per point by where it begins: by its angle, paler near the middle; of one coordinate by its rank."""
    from matplotlib import colormaps
    from matplotlib.colors import hsv_to_rgb

    if points.shape[1] == 1:
        ranks = points[:, 0].argsort(kind="stable").argsort(kind="stable") / max(1, len(points) - 1)
        return np.asarray(colormaps["viridis"](0.05 + 0.85 * ranks))[:, :3]
    angle = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) % 1.0
    radius = np.minimum(np.hypot(points[:, 0], points[:, 1]) / 2.0, 1.0)
    return np.asarray(hsv_to_rgb(np.stack([angle, 0.25 + 0.6 * radius, 0.86 - 0.12 * radius], axis=1)))
