"""Rows as pictures: density with data, samples beside data, pairs of columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from headwater.evaluation.canvas import GENERATED, INK, REAL, new_figure, svg_bytes
from headwater.evaluation.columns import Column

__all__ = ["density_curve", "density_map", "extent", "pairs", "samples_beside"]

Values = Float[np.ndarray, "_ d"]
LogProb = Callable[[Values], Float[np.ndarray, " n"]]

_LINE, _SIDE = 400, 120
_COARSE = 64  # per side, where each figure takes an equation or many draws
_MOST_POINTS = 2_000
_BINS = 40
_DEPTH = 9.0  # nats below its height down to which a density is drawn


def extent(values: Float[np.ndarray, " n"], *, open_ended: bool = True) -> tuple[float, float]:
    """A range that holds nearly all values, with some room where the column has no bounds."""
    seen = values[np.isfinite(values)]
    if not len(seen):
        return 0.0, 1.0
    low, high = (float(q) for q in np.quantile(seen, [0.002, 0.998] if open_ended else [0, 1]))
    room = (0.08 * (high - low) or 0.5) if open_ended else 0.0
    return low - room, high + room


def density_curve(
    column: str, real: Values | None, log_prob: LogProb, reach: tuple[float, float], kind: str, title: str
) -> bytes:
    """The model's density over a line, the data's histogram below it."""
    figure = new_figure(6.4, 3.6)
    axes = figure.add_subplot()
    at = np.linspace(*reach, _LINE)
    if real is not None:
        axes.hist(real[:, 0], np.linspace(*reach, 61), density=True, color=REAL, alpha=0.45, label="data, held out")
    axes.plot(at, np.exp(log_prob(at[:, None])), color=GENERATED, linewidth=1.8, label=f"model ({kind})")
    axes.set_xlim(*reach)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(column)
    axes.set_ylabel("density per unit")
    axes.legend(loc="best")
    axes.set_title(title)
    return svg_bytes(figure)


def density_map(
    columns: Sequence[str],
    real: Values | None,
    log_prob: LogProb,
    reach: Sequence[tuple[float, float]],
    kind: str,
    title: str,
) -> bytes:
    """The model's log-density as colours; beside it the same with the data on top."""
    side = _SIDE if kind.startswith("exact") else _COARSE
    grids = [np.linspace(low, high, side) for low, high in reach]
    x, y = np.meshgrid(*grids)
    log_p = log_prob(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    top = float(log_p[np.isfinite(log_p)].max())
    shown = np.maximum(np.where(np.isfinite(log_p), log_p, -np.inf), top - _DEPTH)
    panels = 1 if real is None else 2
    figure = new_figure(3.9 * panels + 0.9, 3.9)
    for i in range(panels):
        axes = figure.add_subplot(1, panels, i + 1)
        image = axes.imshow(
            shown, extent=[*reach[0], *reach[1]], origin="lower", aspect="auto", cmap="YlGnBu", interpolation="none"
        )
        if i and real is not None:
            few = real[:_MOST_POINTS]
            axes.scatter(few[:, 0], few[:, 1], s=_dot(len(few)), color=INK, alpha=0.5, linewidths=0, rasterized=True)
        axes.set_xlim(*reach[0])
        axes.set_ylim(*reach[1])
        axes.set_xlabel(columns[0])
        axes.set_title("with held-out data" if i else title)
        if i:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel(columns[1])
    bar = figure.colorbar(image, ax=figure.axes, fraction=0.05, pad=0.02)
    bar.set_label(f"log-density, nats ({kind})")
    bar.outline.set_visible(False)
    return svg_bytes(figure)


def samples_beside(columns: Sequence[str], real: Values | None, fake: Values) -> bytes:
    """Held-out data and samples on the same axes, in two panels."""
    sides = [(fake, "samples", GENERATED)] if real is None else [(real, "data", REAL), (fake, "samples", GENERATED)]
    reach = [extent(fake[:, i] if real is None else real[:, i]) for i in (0, 1)]
    figure = new_figure(3.6 * len(sides) + 0.4, 3.7)
    for i, (points, name, colour) in enumerate(sides):
        axes = figure.add_subplot(1, len(sides), i + 1)
        few = points[:_MOST_POINTS]
        axes.scatter(few[:, 0], few[:, 1], s=_dot(len(few)), color=colour, alpha=0.6, linewidths=0, rasterized=True)
        axes.set_xlim(*reach[0])
        axes.set_ylim(*reach[1])
        axes.set_title(f"{name}, {len(few)} points")
        axes.set_xlabel(columns[0])
        if i:
            axes.set_yticklabels([])
        else:
            axes.set_ylabel(columns[1])
    return svg_bytes(figure)


def pairs(columns: Sequence[Column], real: Values | None, fake: Values, title: str) -> bytes:
    """A square of panels: each column's shares on the diagonal, pairs below it: data grey, samples coloured."""
    count = len(columns)
    figure = new_figure(max(4.6, 2.3 * count + 0.6), 2.15 * count + 0.8)
    panels = figure.subplots(count, count, squeeze=False)
    sides = [(fake, GENERATED)] if real is None else [(fake, GENERATED), (real, REAL)]
    shown = fake if real is None else real
    most = min(_MOST_POINTS // 2, max(300, 4 * len(shown)))  # lest samples hide the data
    reach = [_reach(column, shown[:, i]) for i, column in enumerate(columns)]
    for i in range(count):
        for j in range(count):
            axes = panels[i, j]
            if j > i:
                axes.set_visible(False)
                continue
            for values, colour in sides:
                if i == j:
                    _marginal(axes, columns[i], values[:, i], colour, reach[i])
                else:
                    few = values[: most if colour == GENERATED else _MOST_POINTS // 2]
                    x, y = (_spread(columns[k], few[:, k], k) for k in (j, i))
                    axes.scatter(
                        x,
                        y,
                        s=_dot(len(x)),
                        color=colour if colour == GENERATED else INK,
                        alpha=0.5,
                        linewidths=0,
                        rasterized=True,
                    )
                    axes.set_ylim(*reach[i])
            axes.set_xlim(*reach[j])
            _label(axes, columns, i, j)
    names = "samples" if real is None else "data (grey) and samples (blue)"
    figure.suptitle(f"{title}: {names}", fontsize=11, fontweight="bold", x=0.01, ha="left")
    return svg_bytes(figure)


def _reach(column: Column, values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    return (-0.6, len(column.classes) - 0.4) if column.classes else extent(values)


def _spread(column: Column, values: Float[np.ndarray, " n"], seed: int) -> Float[np.ndarray, " n"]:
    """Categories as bands: each value moved a little, lest thousands fall on one point."""
    if not column.classes:
        return values
    return values + np.random.default_rng(seed).uniform(-0.3, 0.3, len(values))


def _marginal(
    axes: Any, column: Column, values: Float[np.ndarray, " n"], colour: str, reach: tuple[float, float]
) -> None:
    seen = values[np.isfinite(values)]
    if column.classes:
        shares = np.bincount(seen.astype(np.int64), minlength=len(column.classes)) / max(1, len(seen))
        left = -0.4 if colour == REAL else 0.0
        axes.bar(np.arange(len(shares)) + left, shares, width=0.4, align="edge", color=colour, alpha=0.8)
    else:
        axes.hist(seen, np.linspace(*reach, _BINS), density=True, color=colour, histtype="stepfilled", alpha=0.35)
        axes.hist(seen, np.linspace(*reach, _BINS), density=True, color=colour, histtype="step", linewidth=1.2)


def _label(axes: Any, columns: Sequence[Column], i: int, j: int) -> None:
    last = len(columns) - 1
    if columns[j].classes:
        axes.set_xticks(
            range(len(columns[j].classes)), [_short(c) for c in columns[j].classes], rotation=35, ha="right"
        )
    else:
        axes.locator_params(axis="x", nbins=4)
    if columns[i].classes and i != j:
        axes.set_yticks(range(len(columns[i].classes)), [_short(c) for c in columns[i].classes])
    elif i != j:
        axes.locator_params(axis="y", nbins=4)
    if i == j:
        axes.set_yticks([])
        axes.set_title(_short(columns[i].name, 28))
    if i == last:
        axes.set_xlabel(_short(columns[j].name, 28))
    else:
        axes.set_xticklabels([])
    if j == 0 and i:
        axes.set_ylabel(_short(columns[i].name, 28))
    elif i != j:
        axes.set_yticklabels([])


def _dot(n: int) -> float:
    """The area of a point, larger where there are few."""
    return min(12.0, max(3.0, 1_500 / max(1, n)))


def _short(name: str, room: int = 12) -> str:
    return name if len(name) <= room else name[: room - 1] + "…"
