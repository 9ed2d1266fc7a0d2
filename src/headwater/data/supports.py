"""Columns that live on circles, spheres and simplexes: declared, checked where data enters, and put in range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from headwater.data.schema import Column
from headwater.errors import DataError

__all__ = ["Point", "check_points", "circle_ends", "points", "put_on_supports", "wrapped"]

TOLERANCE = 0.01
"""How far the length of a unit vector, or the sum of a composition, may be from one (values are rounded)."""


class Point(NamedTuple):
    """Elements that together are one unit vector (``sphere``) or one composition (``simplex``)."""

    support: str
    elements: tuple[int, ...]
    names: tuple[str, ...]


def points(columns: Sequence[Column]) -> list[Point]:
    """The unit vectors and compositions among stored columns.

    A run of an array is one by itself; columns of a table are one where type and ``group`` agree.
    """
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    index = 0
    for column in columns:
        if column.type in ("sphere", "simplex"):
            own = [(index + i, column.name) for i in range(column.size)]
            found.setdefault(column.point, []).extend(own)
        index += column.size
    return [
        Point(key[0], tuple(i for i, _ in members), tuple(dict.fromkeys(name for _, name in members)))
        for key, members in found.items()
    ]


def check_points(values: np.ndarray, columns: Sequence[Column], start: int = 0) -> None:
    """Check that vectors have length one and compositions sum to one, within 1 %.

    Raises:
        DataError: one has not, its row and columns are named; or it has one element.
    """
    for support, elements, names in points(columns):
        if len(elements) < 2:
            raise DataError(
                f"Column {names[0]!r} of type {support} stands alone; a point has at least two elements.",
                hint="Give all its columns that type, and one group: --set data.columns.NAME.group=NAME",
            )
        part = np.asarray(values[:, list(elements)], dtype=np.float64)
        sphere = support == "sphere"
        total = np.sqrt(np.square(part).sum(axis=1)) if sphere else part.sum(axis=1)
        bad = ~(np.abs(total - 1) <= TOLERANCE) | ((part < 0).any(axis=1) & (not sphere))
        if bad.any():
            row = int(bad.argmax())
            what, much = ("a unit vector", "length") if sphere else ("parts that sum to one", "sum")
            raise DataError(
                f"Columns {', '.join(map(repr, names))}, row {start + row}: expected {what}, got {part[row].tolist()},"
                f" {much} {total[row]:.4g}.",
                hint="Divide each row by that, or read the columns as real.",
            )


def put_on_supports(values: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """Stored rows ``(rows, elements)`` of an array with angles in range; unit vectors and compositions are checked."""
    check_points(values, columns)
    start, circles = 0, [column for column in columns if column.type == "circle"]
    if circles:
        values = np.array(values, dtype=values.dtype if values.dtype.kind == "f" else np.float64)
    for column in columns:
        place = slice(start, start + column.size)
        if column.type == "circle":
            values[:, place] = wrapped(values[:, place], column)
        start += column.size
    return values


def circle_ends(name: str, low: float, high: float, given: Mapping[str, Any]) -> dict[str, float]:
    """Where a circle is cut: as ``given``, else a turn of ``2 pi`` from 0, or from ``-pi`` where values are negative.

    Args:
        name: The column, for messages.
        low: Least value seen.
        high: Greatest value seen.
        given: What the user declared; ``high`` alone is the length of a turn, or half of one from ``-high``.

    Raises:
        DataError: values spread over more than a turn that nobody declared.

    >>> circle_ends("angle", 1.0, 359.0, {"high": 360.0})
    {'low': 0.0, 'high': 360.0}
    """
    if given.get("low") is not None and given.get("high") is not None:
        return {"low": float(given["low"]), "high": float(given["high"])}
    end = float(given["high"]) if given.get("high") is not None else math.pi if low < 0 else 2 * math.pi
    start = float(given["low"]) if given.get("low") is not None else -end if low < 0 else 0.0
    if given.get("high") is None:
        end = start + 2 * math.pi
    if high - low > (end - start) * (1 + 1e-6):
        raise DataError(
            f"Column {name!r} has values {low:g} .. {high:g}, more than one turn of {end - start:g}.",
            hint=f"Say how long a turn is: --set data.columns.{name}.low=0 --set data.columns.{name}.high=360",
        )
    return {"low": start, "high": end}


def wrapped(values: np.ndarray, column: Column) -> np.ndarray:
    """Angles in ``[low, high)``; other columns as they are."""
    if column.type != "circle":
        return values
    assert column.low is not None
    assert column.high is not None
    inside = column.low + np.remainder(values - column.low, column.high - column.low)
    return np.where(inside >= column.high, column.low, inside).astype(values.dtype)
