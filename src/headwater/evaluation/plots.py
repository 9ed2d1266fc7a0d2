"""The charts of a report: curves, marginals, densities on the plane, distances to the training data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from headwater.evaluation.columns import Column
from headwater.evaluation.markup import Markup, embedded_png
from headwater.evaluation.memorization import Memorization
from headwater.evaluation.svg import Chart

__all__ = ["closeness", "curves", "density_on_plane", "marginals", "points_on_plane"]

_SIDES = ("real", "generated")
_BINS = 30
_GRID = 120
_MOST_BARS = 12
_SKIPPED = frozenset({"step", "epoch", "events"})

Table = Float[np.ndarray, "_ columns"]
Points = Float[np.ndarray, "_ 2"]


def _range(values: Float[np.ndarray, " n"], share: float = 0.0) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(values, [share, 1 - share]))
    room = 0.05 * (high - low) or 0.5
    return low - room, high + room


def curves(rows: Sequence[Mapping[str, Any]], *, most: int = 6) -> list[Markup]:
    """One chart per logged number over steps, in which the kinds of rows, training and held out, share the axes.

    Args:
        rows: Of ``metrics.jsonl``; events and what has no step are left out.
        most: Number of charts.
    """
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        step = row.get("step")
        if "event" in row or not isinstance(step, int | float):
            continue
        for key, value in ((k, v) for k, v in row.items() if isinstance(v, int | float)):
            if key not in _SKIPPED and np.isfinite(value):
                series.setdefault(key, {}).setdefault(str(row.get("kind", "train")), []).append((float(step), value))
    charts: list[Markup] = []
    for name, parts in sorted(series.items(), key=lambda item: ("loss" not in item[0] and len(item[1]) < 2, item[0])):
        lines = {part: np.array(found) for part, found in parts.items() if len(found) > 1}
        if not lines or len(charts) >= most:
            continue
        every = np.concatenate(list(lines.values()))
        names = tuple(lines) if len(lines) > 1 else ()
        chart = Chart(name, _range(every[:, 0]), _range(every[:, 1], 0.005), "step", names=names)
        for i, points in enumerate(lines.values()):
            chart.line(points[:, 0], points[:, 1], i if len(lines) > 1 else 1)
        charts.append(chart.svg())
    return charts


def marginals(columns: Sequence[Column], real: Table, fake: Table, *, most: int = 24) -> list[Markup]:
    """A chart per column: outlines of histograms for numbers, shares for categories."""
    charts = []
    for i, column in enumerate(columns[:most]):
        sides = (real[:, i], fake[:, i])
        charts.append(_bars(column, sides) if column.kind == "category" else _histogram(column.name, sides))
    return charts


def _histogram(name: str, sides: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]) -> Markup:
    seen = [side[np.isfinite(side)] for side in sides]
    missing = [1 - len(s) / max(1, len(side)) for s, side in zip(seen, sides, strict=True)]
    both = np.concatenate(seen)
    if not len(both):
        return Chart(f"{name} (all missing)", (0.0, 1.0), (0.0, 1.0)).svg()
    low, high = _range(seen[0] if len(seen[0]) else both, 0.002)
    edges = np.linspace(low, high, _BINS + 1)
    heights = [np.histogram(s, edges)[0] / max(1, len(s)) for s in seen]
    label = f"missing: {missing[0]:.1%} real, {missing[1]:.1%} generated" if max(missing) else ""
    chart = Chart(name, (low, high), (0.0, 1.08 * float(max(h.max() for h in heights)) or 1.0), label, names=_SIDES)
    for series, height in enumerate(heights):
        chart.steps(edges, height, series)
    return chart.svg()


def _bars(column: Column, sides: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]) -> Markup:
    names = [*column.classes, "(missing)"]
    shares = []
    for side in sides:
        codes = np.where(np.isnan(side), len(column.classes), side).astype(np.int64)
        shares.append(np.bincount(codes, minlength=len(names))[: len(names)] / max(1, len(side)))
    used = [i for i in np.argsort(-shares[0], kind="stable") if shares[0][i] + shares[1][i] > 0][:_MOST_BARS]
    chart = Chart(
        column.name,
        (0.0, float(max(1, len(used)))),
        (0.0, 1.08 * float(max(1e-9, *(s[used].max() for s in shares)))),
        names=_SIDES,
        categories=[names[i] for i in used],
    )
    for series, share in enumerate(shares):
        chart.bars(np.arange(len(used)) + 0.1 + 0.4 * series, share[used], series, 0.4)
    return chart.svg()


def points_on_plane(real: Points, fake: Points) -> list[Markup]:
    """Real and generated points in two frames of the same range."""
    frames = [_range(real[:, i]) for i in (0, 1)]
    charts = []
    for series, (name, points) in enumerate(zip(_SIDES, (real, fake), strict=True)):
        chart = Chart(f"{name}, {min(len(points), 2000)} points", frames[0], frames[1], width=300, height=300)
        chart.points(points[:2000, 0], points[:2000, 1], series)
        charts.append(chart.svg())
    return charts


def density_on_plane(log_prob: Callable[[Points], Float[np.ndarray, " n"]], real: Points) -> Markup:
    """The model's density on a grid over the real points, darkest where it is greatest.

    Args:
        log_prob: Log-density of points.
        real: Points that set the range.
    """
    frames = [_range(real[:, i]) for i in (0, 1)]
    axes = [np.linspace(low, high, _GRID) for low, high in frames]
    x, y = np.meshgrid(*axes)
    log_p = log_prob(np.stack([x.ravel(), y.ravel()], axis=1)).reshape(_GRID, _GRID)[::-1]
    strength = np.sqrt(np.exp(np.minimum(log_p - np.quantile(log_p, 0.999), 0.0)))
    pixels = np.zeros((_GRID, _GRID, 4), dtype=np.uint8)
    pixels[..., :3] = (31, 119, 150)
    pixels[..., 3] = (255 * strength).round().astype(np.uint8)
    chart = Chart("model density (root)", frames[0], frames[1], width=300, height=300)
    chart.picture(embedded_png(Image.fromarray(pixels)))
    return chart.svg()


def closeness(found: Memorization) -> Markup:
    """Shares of held-out and of generated events within a distance of the training data."""
    sides = [np.array(found.held_out_distances), np.array(found.distances)]
    high = float(max(np.quantile(side, 0.99) for side in sides))
    chart = Chart(
        "share of events within a distance",
        (0.0, high or 1.0),
        (0.0, 1.0),
        f"distance to the nearest training event, {found.space}",
        names=("held out", "generated"),
    )
    for series, side in enumerate(sides):
        inside = side <= (high or 1.0)
        chart.line(side[inside], np.linspace(0, 1, len(side))[inside], series)
    return chart.svg()
