"""One pass over a column: counts, range, distinct values, and what its texts could be read as."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headwater.data.describe import HUGE
from headwater.data.tables.csvfile import MISSING
from headwater.data.tables.source import require_polars
from headwater.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CAP", "Family", "Survey", "as_numbers", "as_seconds", "as_texts", "family", "moments"]

CAP = 200_000
"""Distinct values are counted up to here."""

_DATES = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y")
_MICRO = 1_000_000
Family = str  # "number", "flag", "text", "moment", "span", "null" or "" for what is not supported


def family(dtype: pl.DataType) -> Family:
    """What kind of values a polars type holds."""
    pl = require_polars()
    if dtype.is_numeric():
        return "number"
    if dtype == pl.Boolean:
        return "flag"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if dtype in (pl.Date, pl.Datetime):
        return "moment"
    if dtype == pl.Duration:
        return "span"
    return "null" if dtype == pl.Null else ""


def as_texts(series: pl.Series, tokens: tuple[str, ...] = ()) -> pl.Series:
    """Stripped texts; tokens of missing values are null, numbers without a needless fraction."""
    pl = require_polars()
    if family(series.dtype) == "number":
        values = series.cast(pl.Float64)
        whole = values.drop_nulls().drop_nans()
        integral = bool((whole == whole.round()).all()) if len(whole) else True
        return values.fill_nan(None).cast(pl.Int64 if integral else pl.Float64, strict=False).cast(pl.String)
    texts = series.cast(pl.String)
    if family(series.dtype) != "text":
        return texts
    texts = texts.str.strip_chars()
    return texts.set(texts.is_in([*MISSING, *tokens]), None)


def as_numbers(series: pl.Series, tokens: tuple[str, ...] = ()) -> pl.Series:
    """Float64; missing values and texts that are no number are null."""
    pl = require_polars()
    if family(series.dtype) == "number":
        return series.cast(pl.Float64).fill_nan(None)
    return as_texts(series, tokens).cast(pl.Float64, strict=False).fill_nan(None)


def moments(texts: pl.Series) -> pl.Series | None:
    """Texts as moments if one of the usual forms fits them all."""
    present = texts.drop_nulls()
    if not len(present) or len(present[0]) < 8 or not present[0][0].isdigit():
        return None
    for form in _DATES:
        parsed = texts.str.to_datetime(form, strict=False, time_unit="us")
        if parsed.null_count() == texts.null_count():
            return parsed
    return None


def as_seconds(series: pl.Series, tokens: tuple[str, ...] = ()) -> pl.Series:
    """Moments and spans as seconds (since 1970, UTC), exact to the microsecond."""
    pl = require_polars()
    kind = family(series.dtype)
    if kind == "text":
        texts = as_texts(series, tokens)
        parsed = moments(texts)
        return as_seconds(parsed) if parsed is not None else pl.Series(series.name, [None] * len(series), pl.Float64)
    if kind == "span":
        return series.dt.total_microseconds().cast(pl.Float64) / _MICRO
    if series.dtype == pl.Datetime and getattr(series.dtype, "time_zone", None):
        series = series.dt.convert_time_zone("UTC")
    micro = series.cast(pl.Datetime("us")).dt.epoch("us")
    return micro.cast(pl.Float64) / _MICRO


@dataclass
class Survey:
    """Figures of one column, added up batch by batch."""

    name: str
    where: str
    first_line: int
    tokens: tuple[str, ...] = ()
    dtype: str = ""
    family: Family = ""
    rows: int = 0
    missing: int = 0
    found_tokens: set[str] = field(default_factory=set)
    numbers: int = 0
    not_number: tuple[int, str] | None = None
    dates: bool = True
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True
    decimals: int = 0
    grid: int = 86_400 * _MICRO
    distinct: set[str] = field(default_factory=set)
    values: set[float] = field(default_factory=set)
    most_common: float = 0.0

    def update(self, series: pl.Series) -> None:
        """Add a batch.

        Raises:
            DataError: an infinite number; its row is named.
        """
        self.dtype, self.family = str(series.dtype), family(series.dtype)
        start, self.rows = self.rows, self.rows + len(series)
        if self.family in ("", "null"):
            self.missing += len(series)
            return
        if self.family in ("moment", "span"):
            self._seconds(as_seconds(series))
            self.missing += series.null_count()
            return
        texts = None if self.family == "number" else as_texts(series, self.tokens)
        if texts is not None:
            self._texts(series, texts)
        numbers = as_numbers(series, self.tokens)
        present = (numbers if texts is None else texts).is_not_null()
        self.missing += len(series) - int(present.sum())
        if texts is not None and self.not_number is None:
            odd = (present & numbers.is_null()).arg_true()
            if len(odd):
                self.not_number = (start + int(odd[0]), str(texts[int(odd[0])]))
        self._numbers(numbers, start)

    def _texts(self, series: pl.Series, texts: pl.Series) -> None:
        if len(self.distinct) < CAP:
            self.distinct.update(texts.drop_nulls().unique().to_list())
        if texts.null_count() > series.null_count():
            gone = series.cast(texts.dtype).str.strip_chars().filter(texts.is_null() & series.is_not_null())
            self.found_tokens.update(gone.unique().to_list())
        if self.dates and texts.null_count() < len(texts):
            parsed = moments(texts)
            self.dates = parsed is not None
            if parsed is not None:
                self._seconds(as_seconds(parsed))

    def _seconds(self, seconds: pl.Series) -> None:
        present = seconds.drop_nulls()
        if not len(present):
            return
        micro = np.round(present.to_numpy() * _MICRO).astype(np.int64)
        self.grid = int(np.gcd(self.grid, np.gcd.reduce(micro)))
        self._range(present)

    def _numbers(self, numbers: pl.Series, start: int) -> None:
        present = numbers.drop_nulls()
        self.numbers += len(present)
        if not len(present):
            return
        bad = (numbers.is_infinite() | (numbers.abs() > HUGE)).fill_null(False).arg_true()
        if len(bad):
            row = start + int(bad[0])
            raise DataError(
                f"{self.where}: column {self.name!r}, row {row} (line {row + self.first_line})"
                f" is {numbers[int(bad[0])]}; finite numbers are expected.",
                hint=f"Mend that row, or leave the column out: --set data.columns.{self.name}.type=drop",
            )
        values = present.to_numpy()
        self.whole = self.whole and bool((values == np.round(values)).all())
        while self.decimals < 10 and not np.array_equal(np.round(values, self.decimals), values):
            self.decimals += 1
        self._range(present)

    def _range(self, present: pl.Series) -> None:
        self.low = min(self.low, float(present.min()))  # type: ignore[arg-type]
        self.high = max(self.high, float(present.max()))  # type: ignore[arg-type]
        if len(self.values) < CAP:
            self.values.update(present.unique().to_list())

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing
