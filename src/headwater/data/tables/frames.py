"""Data frames of any library and Parquet files as sources of polars frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.data.archive import regular_file
from headwater.data.limits import Limits
from headwater.data.tables.source import Source, require_narwhals, require_polars
from headwater.errors import DataError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["frame_to_polars", "is_frame", "open_frame", "open_parquet", "polars_to_kind"]

_BATCH = 100_000
_KNOWN = ("polars", "pandas", "pyarrow", "modin", "cudf", "dask", "duckdb", "ibis", "pyspark")


def is_frame(value: Any) -> bool:
    """Whether this looks like a data frame, found out without importing any library."""
    module = type(value).__module__.partition(".")[0]
    return module in _KNOWN and (
        hasattr(value, "columns") or hasattr(value, "column_names") or hasattr(value, "collect")
    )


def frame_to_polars(value: Any) -> tuple[pl.DataFrame, str]:
    """The frame in polars, and the name of the library it came from.

    Raises:
        DataError: narwhals does not know it.
    """
    require_polars()
    narwhals = require_narwhals()
    try:
        frame = narwhals.from_native(value)
        frame = frame.collect() if isinstance(frame, narwhals.LazyFrame) else frame
        return frame.to_polars(), frame.implementation.value
    except (TypeError, ValueError) as error:
        raise DataError(f"The frame cannot be read: {error}.") from None


def polars_to_kind(frame: pl.DataFrame, kind: str) -> Any:
    """The same frame in the library called ``kind``; polars for files and libraries that are not installed."""
    try:
        if kind == "pandas":
            return frame.to_pandas()
        if kind == "pyarrow":
            return frame.to_arrow()
    except ImportError:  # a run made where that library was may be read where it is not
        return frame
    return frame


def open_frame(value: Any, limits: Limits) -> Source:
    """A data frame in memory as a source."""
    frame, kind = frame_to_polars(value)
    limits.check("columns", frame.width, f"The {kind} frame")
    limits.check("rows", frame.height, f"The {kind} frame")

    def batches() -> Iterator[pl.DataFrame]:
        for start in range(0, frame.height, _BATCH):
            yield frame.slice(start, _BATCH)

    return Source(f"the {kind} frame", kind, frame.columns, batches, rows=frame.height, first_line=0)


def open_parquet(path: Path, limits: Limits) -> Source:
    """A Parquet file as a source; never in memory as a whole.

    Raises:
        DataError: damaged, or more columns or rows than accepted.
    """
    library = require_polars()
    regular_file(path)
    try:
        lazy = library.scan_parquet(path, glob=False)
        names = lazy.collect_schema().names()
        rows = int(lazy.select(library.len()).collect().item())
    except (library.exceptions.PolarsError, OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}.", hint="Is it complete?"
        ) from None
    limits.check("columns", len(names), str(path))
    limits.check("rows", rows, str(path))

    def batches() -> Iterator[pl.DataFrame]:
        for start in range(0, rows, _BATCH):
            try:
                yield lazy.slice(start, _BATCH).collect()
            except (library.exceptions.PolarsError, OSError) as error:
                raise DataError(f"{path}: row {start} ff. cannot be read: {str(error).splitlines()[0]}.") from None

    return Source(str(path), "parquet", names, batches, rows=rows, first_line=0)
