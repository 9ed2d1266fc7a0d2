"""What an array is: pictures, or rows of reals, whole numbers, flags; decided from its values in one pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headwater.data.limits import Limits
from headwater.data.schema import Column, Schema
from headwater.errors import DataError

__all__ = ["Described", "Survey", "describe_array", "survey"]

_CHUNK_ELEMENTS = 4_000_000
_SMALL = 256
_FEW_LEVELS = 64
HUGE = 1e150


@dataclass(frozen=True)
class Survey:
    """Figures of each element over all rows: least, greatest, all whole, any missing."""

    low: np.ndarray
    high: np.ndarray
    whole: np.ndarray
    missing: np.ndarray
    bytes_in_unit: bool  # all values are k / 255


@dataclass(frozen=True)
class Described:
    """A schema and the array stored as it says."""

    schema: Schema
    storage: np.ndarray
    notes: list[str]
    warnings: list[str]


def chunks(array: np.ndarray) -> Iterator[slice]:
    """Slices of rows of bounded size."""
    step = max(1, _CHUNK_ELEMENTS // max(1, int(np.prod(array.shape[1:]))))
    for start in range(0, len(array), step):
        yield slice(start, min(start + step, len(array)))


def survey(array: np.ndarray, where: str) -> Survey:
    """One pass over ``(rows, ...)``, in pieces.

    Raises:
        DataError: a value is infinite, or too large to compute with; its row and column are named.
    """
    size = int(np.prod(array.shape[1:]))
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    whole, missing, unit = np.ones(size, dtype=bool), np.zeros(size, dtype=bool), True
    for rows in chunks(array):
        piece = np.asarray(array[rows]).reshape(-1, size)
        if piece.dtype.kind != "f":
            low, high = np.minimum(low, piece.min(0)), np.maximum(high, piece.max(0))
            unit = False
            continue
        piece = piece.astype(np.float64)  # float32 cannot hold the limit that it is compared with
        gone = np.isnan(piece)
        bad = ~gone & ~(np.abs(piece) <= HUGE)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise DataError(
                f"{where}: row {rows.start + row}, column {column} is {piece[row, column]}; expected finite numbers.",
                hint="Mend or remove that row; write NaN for a missing value.",
            )
        missing |= gone.any(0)
        low, high = np.fmin(low, np.fmin.reduce(piece, 0)), np.fmax(high, np.fmax.reduce(piece, 0))
        whole &= (gone | (piece == np.round(piece))).all(0)
        scaled = piece * 255
        unit = unit and bool(low.min() >= 0 and high.max() <= 1 and (np.abs(scaled - np.round(scaled)) < 1e-3).all())
    return Survey(low, high, whole, missing, unit and not missing.any())


def describe_array(array: np.ndarray, *, kind: str, limits: Limits, where: str, source: str) -> Described:
    """Find out what ``array`` ``(rows, ...)`` is and store it so.

    Raises:
        DataError: no numbers, no rows, infinite values, or more elements than accepted.
    """
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{where}: expected rows of numbers, got shape {array.shape}.")
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: expected numbers, got {array.dtype}.", hint="A table of texts? Give a CSV or a frame."
        )
    user_shape = array.shape[1:]
    array = array[:, None] if array.ndim == 1 else array
    array = array.view(np.uint8) if array.dtype == np.bool_ else array
    array = array.astype(np.float32) if array.dtype == np.float16 else array
    limits.check("rows", len(array), where)
    limits.check("elements", int(np.prod(array.shape[1:])), where)
    figures = survey(array, where)
    if kind == "images" or (kind == "auto" and _is_pictures(array, figures)):
        return _pictures(array, figures, where, source)
    return _rows(array, figures, source, user_shape)


def _is_pictures(array: np.ndarray, figures: Survey) -> bool:
    if array.ndim not in (3, 4) or (array.ndim == 4 and _layout(array.shape) is None):
        return False
    if array.dtype == np.uint8 or figures.bytes_in_unit:
        return True
    whole = bool(figures.whole.all()) and not figures.missing.any()
    return whole and bool(figures.low.min() >= 0 and figures.high.max() <= 65_535)


def _layout(shape: tuple[int, ...]) -> Literal["HW", "HWC", "CHW"] | None:
    if len(shape) == 3:
        return "HW"
    first, last = shape[1], shape[-1]
    if last in (1, 3, 4) and (first not in (1, 3, 4) or last in (3, 4)):
        return "HWC"
    return "CHW" if first <= 4 else None


def _pictures(array: np.ndarray, figures: Survey, where: str, source: str) -> Described:
    layout = _layout(array.shape) if array.ndim in (3, 4) else None
    if layout is None:
        raise DataError(
            f"{where}: expected pictures as (N, H, W), (N, H, W, C) or (N, C, H, W), got shape {array.shape}.",
            hint="Reshape the array, or read it as vectors: --set data.kind=arrays",
        )
    notes: list[str] = []
    greatest = float(figures.high.max())
    if array.dtype.kind == "f" and figures.bytes_in_unit and not figures.whole.all():
        notes.append("Values k/255 in [0, 1] are read as 8-bit pixels.")
        array = np.concatenate([np.round(array[rows] * 255).astype(np.uint8) for rows in chunks(array)])
        levels = 256
    elif not figures.whole.all() or figures.low.min() < 0 or greatest > 65_535 or figures.missing.any():
        raise DataError(
            f"{where}: pixels are whole numbers 0 .. 255 (or k/255); got {figures.low.min():g} .. {greatest:g}.",
            hint="Read it as vectors of reals: --set data.kind=arrays",
        )
    else:
        levels = max(2, int(greatest) + 1)
        if levels > _FEW_LEVELS:
            levels = 256 if levels <= _SMALL else 65_536
        wanted = np.uint8 if levels <= _SMALL else np.uint16
        if array.dtype != wanted:
            array = np.concatenate([array[rows].astype(wanted) for rows in chunks(array)])
    if levels not in (256, 65_536):
        notes.append(f"Pixels take {levels} levels (0 .. {levels - 1}).")
    user = array.shape[1:]
    array = array[:, None] if layout == "HW" else np.moveaxis(array, -1, 1) if layout == "HWC" else array
    schema = Schema(
        kind="images",
        shape=array.shape[1:],
        dtype=str(array.dtype),
        levels=levels,
        layout=layout,
        user_shape=user,
        source=source,
    )
    return Described(schema, array, notes, [])


def _rows(array: np.ndarray, figures: Survey, source: str, user_shape: tuple[int, ...]) -> Described:
    types = _types(array, figures)
    columns: list[Column] = []
    start = 0
    for stop in range(1, len(types) + 1):
        if stop < len(types) and types[stop] == types[start]:
            continue
        name = "x" if stop - start == len(types) else f"x[{start}:{stop}]" if stop - start > 1 else f"x[{start}]"
        columns.append(types[start].model_copy(update={"name": name, "size": stop - start}))
        start = stop
    constant = sum(column.size for column in columns if column.type == "constant")
    warnings = [f"{constant} of {len(types)} columns are constant; they are left out and restored exactly."] * bool(
        constant
    )
    flat = array.reshape(len(array), -1)
    schema = Schema(
        kind="arrays",
        shape=(flat.shape[1],),
        dtype=str(array.dtype),
        columns=tuple(columns),
        user_shape=user_shape,
        source=source,
    )
    return Described(schema, flat, [], warnings)


def _types(array: np.ndarray, figures: Survey) -> list[Column]:
    """A nameless column for each element; equal ones are alike."""
    constant = (figures.low == figures.high) | (figures.low > figures.high)
    flags = figures.whole & (figures.low >= 0) & (figures.high <= 1)
    all_flags = bool(flags.all())
    all_whole = bool(figures.whole.all())
    low, high = float(np.min(figures.low, initial=math.inf)), float(np.max(figures.high, initial=-math.inf))
    made: dict[tuple[object, ...], Column] = {}
    types = []
    for i in range(len(constant)):
        missing = bool(figures.missing[i])
        if constant[i]:
            key: tuple[object, ...] = ("constant", missing, None, None)
        elif flags[i] and (all_flags or not all_whole or high <= 1):
            key = ("binary", missing, None, None)
        elif figures.whole[i]:
            ends = (low, high) if all_whole and high - low < _SMALL else (float(figures.low[i]), float(figures.high[i]))
            key = ("integer", missing, *ends)
        else:
            key = ("real", missing, None, None)
        if key not in made:
            made[key] = Column.model_validate(
                {"name": "x", "type": key[0], "missing": missing, "low": key[2], "high": key[3]}
            )
        types.append(made[key])
    return types
