"""A heat map on a matplotlib figure, laid out as its SVG is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from headwater.applications.variants.clean import clean
from headwater.applications.variants.colours import diverging
from headwater.applications.variants.heat_grid import CELL, HEAD, HEIGHT, LEFT, Band, rows_of
from headwater.applications.variants.notice import NOTICE
from headwater.evaluation.canvas import INK

if TYPE_CHECKING:
    from headwater.applications.variants.heat_map import HeatMap

__all__ = ["draw"]

_ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
_QUIET, _PAPER, _HATCH, _LINE = "#5a646c", "#f6f3ee", "#d5d9dc", "#8f989f"
_BAR = 150.0


def draw(heat: HeatMap, figure: Any, bands: Sequence[Band]) -> None:
    """Put a heat map on an empty figure of 1/72 inch per pixel of the layout.

    Args:
        heat: What is drawn.
        figure: Empty, without a layout engine.
        bands: Its rows of columns.
    """
    axes = figure.add_axes((0, 0, 1, 1))
    width, whole = (float(side) * 72 for side in figure.get_size_inches())
    axes.set_xlim(0, width)
    axes.set_ylim(whole, 0)
    axes.axis("off")
    _legend(heat, axes)
    for i, band in enumerate(bands):
        _band(heat, axes, band, HEAD + i * HEIGHT)
    axes.text(12, whole - 10, NOTICE, fontsize=8, color=_QUIET, va="center")


def _squares(axes: Any, x: np.ndarray, y: np.ndarray, colours: Any, side: float = CELL) -> None:
    from matplotlib.collections import PolyCollection

    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], dtype=np.float64)
    squares = np.stack([x, y], axis=1)[:, None, :] + corners
    axes.add_collection(
        PolyCollection(list(squares), facecolors=colours, edgecolors="none", antialiased=False), autolim=False
    )


def _stripes(axes: Any, x: np.ndarray, y: np.ndarray, side: float = CELL) -> None:
    from matplotlib.collections import LineCollection

    _squares(axes, x, y, _HATCH, side)
    ends = np.array([[[0, side / 2], [side / 2, 0]], [[0, side], [side, 0]], [[side / 2, side], [side, side / 2]]])
    lines = (np.stack([x, y], axis=1)[:, None, None, :] + ends).reshape(-1, 2, 2)
    axes.add_collection(LineCollection(lines, colors=_LINE, linewidths=0.7), autolim=False)


def _legend(heat: HeatMap, axes: Any) -> None:
    axes.text(12, 12, clean(heat.title), fontsize=11, fontweight="bold", va="center")
    bar = diverging(np.linspace(-1, 1, 200))[None]
    axes.imshow(bar, extent=(LEFT, LEFT + _BAR, 38, 28), aspect="auto", interpolation="none", clip_on=False)
    for i, value in enumerate(heat.legend_ticks()):
        axes.text(LEFT + _BAR * i / 4, 47, f"{value:.3g}", fontsize=7.5, color=_QUIET, ha="center", va="center")
    x = LEFT + _BAR + 22
    small = {"fontsize": 7.5, "color": _QUIET, "va": "center"}
    axes.text(x, 33, clean(heat.meaning()), **small)
    _squares(axes, np.array([x]), np.array([43.0]), _PAPER, 9.0)
    axes.plot([x, x + 9, x + 9, x, x], [43, 43, 52, 52, 43], color="#c9ced2", linewidth=0.6)
    axes.plot([x + 4.5], [47.5], "o", color=INK, markersize=3, markeredgewidth=0)
    axes.text(x + 14, 47.5, "wild type", **small)
    _stripes(axes, np.array([x + 74]), np.array([43.0]), 9.0)
    axes.text(x + 88, 47.5, "not scored", **small)
    axes.plot([x + 158, x + 158], [42, 53], color=_LINE, linestyle=":", linewidth=1)
    axes.text(x + 164, 47.5, "positions left out", **small)
    axes.set_xlim(0, axes.figure.get_size_inches()[0] * 72)
    axes.set_ylim(axes.figure.get_size_inches()[1] * 72, 0)


def _band(heat: HeatMap, axes: Any, band: Band, top: float) -> None:
    tops, groups, bottom = rows_of()
    (first, end), x = band.columns, np.array(band.x)
    y = top + np.array([*(tops[residue] for residue in _ALPHABET), bottom + 4])
    means = np.clip(heat.means() / heat.limit, -1, 1)
    shown = np.concatenate([heat.shown(), means[:, None]], axis=1)[first:end].ravel()
    xs, ys = np.repeat(x, 21), np.tile(y, len(x))
    there = ~np.isnan(shown)
    if there.any():
        _squares(axes, xs[there], ys[there], diverging(shown[there]) / 255.0)
    if not there.all():
        _stripes(axes, xs[~there], ys[~there])
    small = {"fontsize": 7.5, "color": _QUIET, "va": "center"}
    letter = {"fontsize": 7.0, "color": INK, "va": "center", "ha": "center"}
    for name, middle in groups:
        axes.text(LEFT - 24, top + middle, name, ha="right", **small)
    for residue, at in tops.items():
        axes.text(LEFT - 10, top + at + CELL / 2, residue, **letter)
    axes.text(LEFT - 5, top + bottom + 4 + CELL / 2, "mean", ha="right", **small)
    for left, residue in zip(x, heat.wild_type[first:end], strict=True):
        axes.text(left + CELL / 2, top + 8, residue, **letter)
        if residue in tops:
            at = top + tops[residue] + CELL / 2
            axes.plot([left + CELL / 2], [at], "o", color=INK, markersize=3.2, markeredgewidth=0)
    for middle, number in band.ticks:
        axes.text(middle, top + bottom + CELL + 12, str(number), ha="center", **small)
    for middle, _, _ in band.jumps:
        axes.plot([middle, middle], [top + 4, top + bottom + CELL + 4], color=_LINE, linestyle=":", linewidth=1)
