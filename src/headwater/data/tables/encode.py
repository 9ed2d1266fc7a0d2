"""Columns of a frame to float64 as the schema says, and back; whatever does not fit is named by column and row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headwater.data.describe import HUGE
from headwater.data.schema import Column
from headwater.data.supports import check_points, wrapped
from headwater.data.tables.source import require_polars
from headwater.data.tables.survey import as_numbers, as_seconds, as_texts
from headwater.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import polars as pl

__all__ = ["decode_column", "encode_column", "encode_frame"]


def encode_frame(frame: pl.DataFrame, columns: tuple[Column, ...], *, start: int = 0) -> np.ndarray:
    """``(rows, columns)`` float64: numbers, codes, seconds; NaN where missing.

    Raises:
        DataError: a column is missing, or a value does not fit its column.
    """
    matrix = np.empty((frame.height, len(columns)))
    for i, column in enumerate(columns):
        if column.name not in frame.columns:
            raise DataError(f"There is no column {column.name!r}.", hint=did_you_mean(column.name, frame.columns))
        matrix[:, i] = encode_column(frame.get_column(column.name), column, start=start)
    check_points(matrix, columns, start)
    return matrix


def encode_column(series: pl.Series, column: Column, *, start: int = 0) -> np.ndarray:
    """One column as float64.

    Raises:
        DataError: an unseen category, a number out of range, a missing value where there was none; with its row.
    """
    if column.categories:
        values = _codes(series, column, start)
    elif column.type == "datetime" or (
        column.source.startswith(("Duration", "Date")) and not series.dtype.is_numeric()
    ):
        values = as_seconds(series, column.missing_tokens).to_numpy().astype(np.float64)
    elif column.source == "Boolean":
        values = series.cast(require_polars().Float64).to_numpy().astype(np.float64)
    else:
        values = _numbers(series, column, start)
    values = np.array(values, dtype=np.float64)
    check_column(values, column, start)
    return wrapped(values, column)


def _codes(series: pl.Series, column: Column, start: int) -> np.ndarray:
    pl = require_polars()
    texts = as_texts(series, column.missing_tokens)
    table = {text: float(code) for code, text in enumerate(column.categories)}
    codes = texts.replace_strict(table, default=None, return_dtype=pl.Float64)
    unseen = texts.is_not_null() & codes.is_null()
    if bool(unseen.any()):
        if column.unknown == "other":
            codes = codes.set(unseen, table["other"])
        else:
            row = int(unseen.arg_true()[0])
            raise DataError(
                f"Column {column.name!r}, row {start + row}: {texts[row]!r} is no category that was seen"
                f" ({len(column.categories)} were).",
                hint=f"Train with --set data.columns.{column.name}.unknown=other to give unseen categories a place.",
            )
    return codes.to_numpy()


def _numbers(series: pl.Series, column: Column, start: int) -> np.ndarray:
    numbers = as_numbers(series, column.missing_tokens)
    if series.dtype == require_polars().String:
        texts = as_texts(series, column.missing_tokens)
        odd = (texts.is_not_null() & numbers.is_null()).arg_true()
        if len(odd):
            row = int(odd[0])
            raise DataError(
                f"Column {column.name!r}, row {start + row}: expected a number, got {texts[row]!r}.",
                hint=f"If it means missing: --set data.columns.{column.name}.missing_tokens='[\"{texts[row]}\"]'",
            )
    return numbers.to_numpy()


def check_column(values: np.ndarray, column: Column, start: int = 0) -> None:
    """Raise a DataError at the first value that the column cannot hold."""
    absent = np.isnan(values)
    if not column.missing and column.type != "constant" and absent.any():
        raise _misfit(column, start + int(absent.argmax()), "is missing", "No value of it was missing in training.")
    with np.errstate(invalid="ignore"):
        bad = np.abs(values) > HUGE
        fault, hint = "is not a finite number", "Mend that row."
        if column.type == "positive":
            bad, fault, hint = bad | (values <= 0), "is not positive", "Or read it as real."
        elif column.type == "interval":
            bad, fault = (
                bad | (values < column.low) | (values > column.high),
                f"is outside {column.low:g} .. {column.high:g}",
            )
        elif column.type == "integer":
            low = -np.inf if column.low is None else column.low
            high = np.inf if column.high is None else column.high
            discrete = column.cardinality is not None and column.cardinality <= 256
            bad = bad | ((values - (0 if np.isinf(low) else low)) % column.step != 0)
            bad |= ((values < low) | (values > high)) if discrete else (values < 0) & (low >= 0)
            fault, hint = (
                f"is not among {low:g} .. {high:g} in steps of {column.step:g}",
                "Widen the column's low and high, then train again.",
            )
        elif column.type == "binary" and not column.categories:
            bad, fault, hint = (values != 0) & (values != 1) & ~absent, "is not 0 or 1", ""
        elif column.type == "constant" and column.low is not None:
            bad, fault, hint = (
                (values != column.low) & ~absent,
                f"is not {column.low:g}, its only value in training",
                "",
            )
    bad &= ~absent
    if bad.any():
        row = int(bad.argmax())
        raise _misfit(column, start + row, f"is {values[row]:g}, which {fault}", hint)


def _misfit(column: Column, row: int, fault: str, hint: str) -> DataError:
    return DataError(f"Column {column.name!r}, row {row} {fault}.", hint=hint)


def decode_column(values: np.ndarray, column: Column) -> pl.Series:
    """The column in its own type again."""
    pl = require_polars()
    absent = np.isnan(values)
    if column.categories:
        table = np.array([*column.categories, ""], dtype=object)
        texts = table[np.where(absent, len(table) - 1, values).astype(np.int64)]
        series = pl.Series(column.name, texts.tolist(), dtype=pl.String)
        series = series.set(pl.Series(absent), None)
        return _cast_texts(series, column)
    if column.decimals is not None:
        values = wrapped(np.round(values, column.decimals), column)
    series = pl.Series(column.name, values).fill_nan(None)
    if column.source.startswith(("Date", "Duration")) or column.type == "datetime":
        micro = (series * 1_000_000).round().cast(pl.Int64)
        return _cast_moments(micro, column)
    if column.source == "Boolean":
        return series.cast(pl.Boolean)
    if column.source == "Float32":
        return series.cast(pl.Float32)
    whole = column.source.startswith(("Int", "UInt")) or (
        column.source == "String" and column.type in ("integer", "binary")
    )
    if whole:
        return series.round().cast(getattr(pl, column.source) if column.source != "String" else pl.Int64, strict=False)
    return series


def _cast_texts(series: pl.Series, column: Column) -> pl.Series:
    pl = require_polars()
    if column.source == "Boolean":
        return series == "true"
    if column.source.startswith(("Int", "UInt", "Float")):
        return series.cast(getattr(pl, column.source), strict=False)
    if column.source.startswith("Categorical"):
        return series.cast(pl.Categorical)
    return series


def _cast_moments(micro: pl.Series, column: Column) -> pl.Series:
    pl = require_polars()
    if column.source.startswith("Duration"):
        return micro.cast(pl.Duration("us"))
    moment = micro.cast(pl.Datetime("us"))
    if column.source == "Date" or (column.source == "String" and column.step % 86_400 == 0):
        return moment.cast(pl.Date)
    zone = column.source.partition("time_zone='")[2].partition("'")[0]
    return moment.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else moment
