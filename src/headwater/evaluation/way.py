"""How a model carries noise into data: panels of its stages, and an animation between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from headwater.evaluation.canvas import hues, new_figure, pixels_of, svg_bytes

__all__ = ["between", "moving_points", "titles", "way_of_lines", "way_of_points"]

Stage = Float[np.ndarray, "n d"]

_SIZE = 10.0


def titles(count: int, *, events: bool) -> list[str]:
    """What each stage is: a time along an equation, a layer of a flow."""
    middle = [f"time {i / (count - 1):.2g}" if events else f"layer {i}" for i in range(1, count - 1)]
    return ["noise", *middle, "data"]


def between(stages: Sequence[Stage], frames: int) -> list[tuple[int, Stage]]:
    """Points on their way, with the number of the stage they come from: straight lines, slow at both ends of each."""
    found: list[tuple[int, Stage]] = []
    for u in np.linspace(0, len(stages) - 1, frames):
        i = min(int(u), len(stages) - 2)
        t = float(u - i)
        t = t * t * (3 - 2 * t)
        found.append((i, (1 - t) * stages[i] + t * stages[i + 1]))
    return found


def _start(stages: Sequence[Stage]) -> Stage:
    """Where colours come from: the noise, or where it grows from one point, the standardized last stage."""
    first, last = stages[0], stages[-1]
    if first.std() > 0.05 * last.std():
        return first
    return (last - np.median(last, axis=0)) / (last.std(axis=0) + 1e-12)


def _limits(stages: Sequence[Stage], axis: int) -> tuple[float, float]:
    values = np.concatenate([stage[:, axis] for stage in stages])
    low, high = (float(q) for q in np.quantile(values, [0.002, 0.998]))
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _frame(stages: Sequence[Stage], axes: Any, names: Sequence[str]) -> None:
    """Same limits for all stages, so that movement is seen as such."""
    axes.set_xlim(*_limits(stages, 0))
    axes.set_ylim(*_limits(stages, 1))
    axes.set_xlabel(names[0])
    axes.locator_params(nbins=4)


def way_of_points(stages: Sequence[Stage], labels: Sequence[str], names: Sequence[str], title: str) -> bytes:
    """A panel per stage, each point in the colour of where it begins."""
    figure = new_figure(2.35 * len(stages) + 0.3, 3.05)
    colours = hues(_start(stages))
    for i, (stage, label) in enumerate(zip(stages, labels, strict=True)):
        axes = figure.add_subplot(1, len(stages), i + 1)
        axes.scatter(stage[:, 0], stage[:, 1], s=4, c=colours, linewidths=0, alpha=0.8, rasterized=True)
        _frame(stages, axes, names)
        axes.set_title(label)
        if i == 0:
            axes.set_ylabel(names[1])
        else:
            axes.set_yticklabels([])
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return svg_bytes(figure)


def way_of_lines(stages: Sequence[Stage], labels: Sequence[str], name: str, title: str) -> bytes:
    """One coordinate: each sample's line over the stages, with histograms of noise and data at the sides."""
    figure = new_figure(7.2, 3.8)
    left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=[1, 4, 1])
    colours, few = hues(_start(stages)), np.linspace(0, len(stages[0]) - 1, min(150, len(stages[0]))).astype(int)
    table = np.stack([stage[:, 0] for stage in stages])
    for i in few:
        middle.plot(range(len(stages)), table[:, i], color=colours[i], linewidth=0.7, alpha=0.7)
    middle.set_xticks(range(len(stages)), labels)
    low, high = _limits(stages, 0)
    bins = np.linspace(low, high, 41)
    for axes, values, label in ((left, table[0], "noise"), (right, table[-1], "data")):
        axes.hist(values, bins, orientation="horizontal", color="#0b6e8a", alpha=0.75)
        axes.set_title(label)
        axes.set_xticks([])
    left.invert_xaxis()
    left.set_ylim(low, high)
    left.set_ylabel(name)
    figure.suptitle(title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    return svg_bytes(figure)


def moving_points(
    stages: Sequence[Stage], labels: Sequence[str], names: Sequence[str], title: str, frames: int
) -> list[Image.Image]:
    """The points on their way, frame by frame; one coordinate becomes a histogram that changes."""
    path = between(stages, frames)
    figure = new_figure(4.6, 4.6)
    axes = figure.add_subplot()
    figure.suptitle(title, fontsize=10, fontweight="bold", x=0.02, ha="left")
    if stages[0].shape[1] == 1:
        return _moving_histogram(figure, axes, stages, path, labels, names[0])
    dots = axes.scatter(*stages[0].T, s=_SIZE, c=hues(_start(stages)), linewidths=0, alpha=0.8)
    _frame(stages, axes, names)
    axes.set_ylabel(names[1])
    found = []
    for i, points in path:
        dots.set_offsets(points)
        axes.set_title(_caption(labels, stages, i, points))
        found.append(Image.fromarray(pixels_of(figure)))
    return found


def _moving_histogram(
    figure: Any,
    axes: Any,
    stages: Sequence[Stage],
    path: Sequence[tuple[int, Stage]],
    labels: Sequence[str],
    name: str,
) -> list[Image.Image]:
    low, high = _limits(stages, 0)
    bins = np.linspace(low, high, 61)
    heights = [np.histogram(points[:, 0], bins, density=True)[0] for _, points in path]
    bars = axes.bar(bins[:-1], heights[0], width=float(np.diff(bins)[0]), align="edge", color="#0b6e8a", alpha=0.8)
    axes.set_ylim(0, 1.05 * max(float(h.max()) for h in heights))
    axes.set_xlim(low, high)
    axes.set_xlabel(name)
    axes.set_ylabel("density")
    found = []
    for (i, points), height in zip(path, heights, strict=True):
        for bar, value in zip(bars, height, strict=True):
            bar.set_height(value)
        axes.set_title(_caption(labels, stages, i, points))
        found.append(Image.fromarray(pixels_of(figure)))
    return found


def _caption(labels: Sequence[str], stages: Sequence[Stage], i: int, points: Stage) -> str:
    if points is stages[0] or np.array_equal(points, stages[i]):
        return labels[i]
    if np.array_equal(points, stages[i + 1]):
        return labels[i + 1]
    return f"{labels[i]} → {labels[i + 1]}"
