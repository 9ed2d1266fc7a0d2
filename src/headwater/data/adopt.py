"""Other data read as a schema says: what was declared holds, what contradicts it is named field by field."""

from __future__ import annotations

import numpy as np

from headwater.data.dataset import Reading
from headwater.data.describe import chunks
from headwater.data.labels import look_up_labels
from headwater.data.schema import Label, Schema
from headwater.data.supports import put_on_supports
from headwater.data.tables.encode import check_column
from headwater.errors import DataError

__all__ = ["adopt"]


def adopt(reading: Reading, declared: Schema) -> None:
    """Give ``reading`` the ``declared`` schema. A table's columns were read by it already.

    Raises:
        DataError: kind, shape or layout differ, pixels exceed the levels, values do not fit their column, or a
            label is none of the classes.
    """
    found = reading.schema
    _same("kind", found.kind, declared.kind)
    if found.kind != "table":
        _same("shape", found.shape, declared.shape)
    update: dict[str, object] = {}
    if found.levels is not None and declared.levels is not None:
        if found.levels > declared.levels:
            _same("levels", found.levels, declared.levels)
        update["levels"] = declared.levels
    if found.kind == "arrays":
        _check_values(reading.storage, declared)
        reading.storage = put_on_supports(reading.storage, declared.kept)
        update |= {"columns": declared.columns, "dtype": str(reading.storage.dtype)}
    if declared.label is not None and reading.labels is not None and found.label is not None:
        reading.labels = _relabelled(reading.labels, found.label, declared.label)
        update["label"] = declared.label
    reading.schema = found.model_copy(update=update)


def _same(name: str, found: object, declared: object) -> None:
    if found != declared:
        raise DataError(
            f"The schema says {name} is {declared!r}, the data has {found!r}.",
            hint="Write a new one with: headwater inspect DATA --schema schema.json",
        )


def _check_values(storage: np.ndarray, declared: Schema) -> None:
    for rows in chunks(storage):
        piece = np.asarray(storage[rows], dtype=np.float64)
        start = 0
        for column in declared.kept:
            for place in range(start, start + column.size):
                check_column(piece[:, place], column, rows.start)
            start += column.size


def _relabelled(labels: np.ndarray, found: Label, declared: Label) -> np.ndarray:
    if not declared.classes:
        values = np.array([float(text) for text in found.classes])
        return np.where(labels < 0, np.nan, values[labels]) if found.classes else labels
    if found.classes == declared.classes:
        return labels
    codes = look_up_labels(list(found.classes), declared)
    return np.where(labels < 0, -1, codes[labels])
