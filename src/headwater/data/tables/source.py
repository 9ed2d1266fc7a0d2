"""Where the rows of a table come from: something that gives frames of bounded size, more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from headwater.errors import MissingExtraError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Ragged", "Source", "require_narwhals", "require_polars"]


def require_polars() -> Any:
    """The module polars.

    Raises:
        MissingExtraError: it is not installed.
    """
    return _require("polars")


def require_narwhals() -> Any:
    """The module narwhals.

    Raises:
        MissingExtraError: it is not installed.
    """
    return _require("narwhals")


def _require(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(name, "table", "Reading a table") from None


@dataclass
class Ragged:
    """Records that do not fit the columns, met while reading: how many, and the first of them."""

    count: int = 0
    first: list[tuple[str, str]] = field(default_factory=list)

    def add(self, record: str, reason: str) -> None:
        """Count one; the first hundred are kept."""
        self.count += 1
        if len(self.first) < 100:
            self.first.append((record, reason))


@dataclass
class Source:
    """A table that can be read again and again in batches.

    Args:
        where: Its name in messages.
        kind: csv, parquet, polars, pandas, pyarrow, ...
        names: Column names.
        batches: Gives the frames; each call starts anew.
        texts: Whether every value is a text whose type is to be found out.
        rows: Number of rows, where it is known beforehand.
        first_line: Line (or row) number of the first row, for messages.
        ragged: Records left out in the last reading.
        notes: What was decided while opening it.
    """

    where: str
    kind: str
    names: list[str]
    batches: Callable[[], Iterator[pl.DataFrame]]
    texts: bool = False
    rows: int | None = None
    first_line: int = 1
    ragged: Ragged = field(default_factory=Ragged)
    notes: list[str] = field(default_factory=list)
