"""What a user declares about the columns of an array: reals that are positive, bounded, angles, unit vectors, ..."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from headwater.data.describe import Described, chunks
from headwater.data.schema import CONTINUOUS, Column, Schema
from headwater.data.supports import circle_ends, put_on_supports
from headwater.data.tables.encode import check_column
from headwater.errors import ConfigError, did_you_mean

__all__ = ["overridden"]


def overridden(described: Described, given: Mapping[str, Mapping[str, Any]]) -> Described:
    """The array with the user's overrides of its columns, every value checked; angles are put in range.

    Raises:
        ConfigError: there is no such column, or it cannot be that.
        DataError: a value does not fit.
    """
    if not given or not described.schema.columns:
        return described
    schema, values = described.schema, described.storage
    names = [column.name for column in schema.columns]
    for name in given:
        if name not in names:
            raise ConfigError(f"data.columns: the array has no column {name!r}.", hint=did_you_mean(name, names))
    columns, start = [], 0
    for column in schema.columns:
        piece = values[:, start : start + column.size]
        start += column.size
        override = given.get(column.name)
        columns.append(column if override is None else _column(column, override, piece))
    changed = {**schema.model_dump(), "columns": columns}
    storage = put_on_supports(values, columns)
    return replace(
        described,
        schema=Schema.parse({**changed, "dtype": str(storage.dtype)}, where="data.columns"),
        storage=storage,
    )


def _column(column: Column, override: Mapping[str, Any], values: np.ndarray) -> Column:
    kind = str(override.get("type", column.type))
    if kind not in CONTINUOUS:
        raise ConfigError(
            f"data.columns.{column.name}: expected a type among {', '.join(CONTINUOUS)}, got {kind!r}.",
            hint="For other types give a schema: headwater inspect DATA --schema schema.json, then --set"
            " data.schema_path=schema.json",
        )
    fields = {"name": column.name, "size": column.size, "missing": column.missing, "type": kind, **override}
    if kind == "circle":
        fields |= circle_ends(column.name, float(np.nanmin(values)), float(np.nanmax(values)), override)
    changed = Column.parse(fields, where=f"data.columns.{column.name}")
    for rows in chunks(values):
        piece = np.asarray(values[rows], dtype=np.float64)
        for i in range(column.size):
            check_column(piece[:, i], changed, rows.start)
    return changed
