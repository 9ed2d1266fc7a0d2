"""Between stored rows and what people hold: frames, arrays and tensors, the same kind out as in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headwater.data.alignments.exchange import codes_from_user, codes_to_user
from headwater.data.describe import HUGE
from headwater.data.labels import decode_labels, look_up_labels
from headwater.data.limits import LIMITS
from headwater.data.schema import Schema
from headwater.data.supports import put_on_supports
from headwater.data.tables.encode import check_column, decode_column, encode_frame
from headwater.data.tables.frames import frame_to_polars, is_frame, polars_to_kind
from headwater.data.tables.source import require_polars
from headwater.data.tables.survey import as_texts
from headwater.errors import DataError
from headwater.progress import SilentProgress
from headwater.settings import DataSettings

__all__ = ["from_user", "to_user"]


def to_user(schema: Schema, raw: Tensor, labels: Tensor | None = None) -> Any:
    """A frame of the user's library with the label column, an array in the user's layout, a tensor, or texts."""
    values = raw.detach().cpu().numpy()
    if schema.kind == "alignment":
        return codes_to_user(values)
    if schema.kind == "table":
        return _frame(schema, values, None if labels is None else labels.detach().cpu().numpy())
    if schema.kind == "images":
        values = values.astype(schema.dtype)
        values = (
            values[:, 0] if schema.layout == "HW" else np.moveaxis(values, 1, -1) if schema.layout == "HWC" else values
        )
    else:
        values = values.astype(schema.dtype).reshape(len(values), *_user_shape(schema))
    values = np.ascontiguousarray(values)
    return torch.from_numpy(values) if schema.source == "torch" else values


def _frame(schema: Schema, values: np.ndarray, labels: np.ndarray | None) -> Any:
    pl = require_polars()
    series = [decode_column(values[:, i], column) for i, column in enumerate(schema.kept)]
    if labels is not None and schema.label is not None:
        series.append(pl.Series(schema.label.name, decode_labels(labels, schema.label)))
    return polars_to_kind(pl.DataFrame(series), schema.source)


def from_user(schema: Schema, value: Any, settings: DataSettings | None = None) -> tuple[Tensor, Tensor | None]:
    """Stored rows and labels of the user's frame, array, tensor, ``(x, y)``, ``{"x": ..., "y": ...}`` or path.

    Raises:
        DataError: it does not fit the schema; column and row are named.
    """
    if schema.kind == "alignment":
        value = value.detach().cpu() if isinstance(value, Tensor) else Path(value) if isinstance(value, str) else value
        return torch.from_numpy(codes_from_user(schema, value)), None
    if isinstance(value, str | Path):
        return _from_path(schema, Path(value), settings)
    if is_frame(value):
        return _from_frame(schema, value)
    labels = None
    if isinstance(value, Mapping) and "x" in value:
        value, labels = value["x"], value.get("y")
    elif isinstance(value, tuple) and len(value) == 2:
        value, labels = value
    array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value)
    raw = _from_pictures(schema, array) if schema.kind == "images" else _from_rows(schema, array)
    return torch.from_numpy(np.ascontiguousarray(raw)), _from_labels(schema, labels, len(raw))


def _from_path(schema: Schema, path: Path, settings: DataSettings | None) -> tuple[Tensor, Tensor | None]:
    """A file or folder, by the reader of the schema's kind and as the schema says."""
    from headwater.data.open import read

    if settings is None:
        label = schema.label.name if schema.kind == "table" and schema.label is not None else None
        settings = DataSettings(label=label)
    reading = read(path, settings.model_copy(update={"max_rows": None}), LIMITS, SilentProgress(), schema)
    raw, labels = np.array(reading.storage), reading.labels
    raw = raw.astype(np.int32) if raw.dtype == np.uint16 else raw
    return torch.from_numpy(raw), None if labels is None else torch.from_numpy(np.array(labels))


def _from_frame(schema: Schema, value: Any) -> tuple[Tensor, Tensor | None]:
    if schema.kind != "table":
        raise DataError(f"The model was trained on {schema.kind}, not on a table.", hint="Give an array.")
    frame, _ = frame_to_polars(value)
    matrix = encode_frame(frame, schema.kept)
    labels = None
    if schema.label is not None and schema.label.name in frame.columns:
        column = frame.get_column(schema.label.name)
        labels = (
            as_texts(column).to_list() if schema.label.classes else column.cast(require_polars().Float64).to_numpy()
        )
    return torch.from_numpy(matrix), _from_labels(schema, labels, len(matrix))


def _from_labels(schema: Schema, labels: Any, rows: int) -> Tensor | None:
    if labels is None or schema.label is None:
        return None
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if values.shape != (rows,):
        raise DataError(f"Expected {rows} labels, got shape {values.shape}.")
    if not schema.label.classes:
        return torch.from_numpy(values.astype(np.float64))
    texts = [None if v is None or v != v else str(int(v)) if isinstance(v, float) else str(v) for v in values.tolist()]
    if values.dtype == np.bool_:
        texts = [str(v).lower() if str(v) not in schema.label.classes else v for v in texts]
    return torch.from_numpy(look_up_labels(texts, schema.label))


def _from_pictures(schema: Schema, array: np.ndarray) -> np.ndarray:
    channels, height, width = schema.shape
    layouts = {"HW": (height, width), "HWC": (height, width, channels), "CHW": schema.shape}
    shape = array.shape[1:]
    fitting = [name for name in (schema.layout, "CHW", "HWC", "HW") if layouts.get(name) == shape]
    if not fitting or (fitting[0] == "HW" and channels != 1):
        raise DataError(f"Expected pictures of shape {layouts[schema.layout]}, got {shape}.")
    array = array[:, None] if fitting[0] == "HW" else np.moveaxis(array, -1, 1) if fitting[0] == "HWC" else array
    assert schema.levels is not None
    if array.dtype.kind == "f" and array.size and array.max() <= 1 and schema.levels > 2:
        array = array * 255.0
        if not np.array_equal(array, np.round(array)) and np.allclose(array, np.round(array), atol=1e-3):
            array = np.round(array)
    if not np.array_equal(array, np.round(array)) or array.min(initial=0) < 0 or array.max(initial=0) >= schema.levels:
        raise DataError(f"Expected whole pixels 0 .. {schema.levels - 1}, got {array.min():g} .. {array.max():g}.")
    return array.astype(np.int32 if schema.levels > 256 else np.uint8)


def _user_shape(schema: Schema) -> tuple[int, ...]:
    return schema.shape if schema.user_shape is None else schema.user_shape


def _from_rows(schema: Schema, array: np.ndarray) -> np.ndarray:
    shape = _user_shape(schema)
    if array.shape[1:] not in (shape, schema.shape) and not (array.ndim == 1 and math.prod(shape) == 1):
        raise DataError(f"Expected rows of shape {shape}, got an array of shape {array.shape}.")
    flat = array.reshape(len(array), -1)
    if schema.kind == "table" or flat.dtype.kind not in "biuf":
        flat = flat.astype(np.float64)
    start = 0
    for column in schema.kept:
        piece = flat[:, start : start + column.size].astype(np.float64)
        start += column.size
        if column.type in ("real", "constant") and column.missing and (np.abs(piece[~np.isnan(piece)]) <= HUGE).all():
            continue
        if column.type == "real" and bool((np.abs(piece) <= HUGE).all()):
            continue
        for i in range(piece.shape[1]):
            check_column(piece[:, i], column)
    return put_on_supports(flat, schema.kept)
