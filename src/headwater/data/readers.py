"""Readers by kind of data: one line per kind. Each stores rows as its schema says and finds labels and splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from headwater.data.alignments.reader import read_alignment
from headwater.data.arrays import read_arrays
from headwater.data.dataset import Reading
from headwater.data.images import read_images
from headwater.data.limits import Limits
from headwater.data.schema import Schema
from headwater.data.tables.reader import read_table
from headwater.errors import UsageError, did_you_mean
from headwater.progress import Progress
from headwater.settings import DataSettings

__all__ = ["READERS", "Reader", "reader"]

Reader = Callable[[Any, DataSettings, Limits, Progress, Schema | None], Reading]


def _pictures(
    data: Any, settings: DataSettings, limits: Limits, progress: Progress, declared: Schema | None = None
) -> Reading:
    """Pictures from files, or from arrays that are declared to be pictures."""
    files = isinstance(data, Path) and data.suffix.lower() not in (".npy", ".npz") and "idx" not in data.name
    return (read_images if files else read_arrays)(data, settings, limits, progress, declared)


READERS: dict[str, Reader] = {
    "alignment": read_alignment,
    "arrays": read_arrays,
    "images": _pictures,
    "table": read_table,
}


def reader(kind: str) -> Reader:
    """The reader of this kind.

    Raises:
        UsageError: there is none; known ones are named.
    """
    if kind not in READERS:
        raise UsageError(f"There is no reader of data kind {kind!r}.", hint=did_you_mean(kind, READERS))
    return READERS[kind]
