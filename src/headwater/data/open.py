"""Open data of any kind: detect, read, hash, split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headwater.data.adopt import adopt
from headwater.data.archive import regular_file
from headwater.data.dataset import Dataset, Reading
from headwater.data.detect import detect_kind
from headwater.data.hashing import hash_rows
from headwater.data.limits import LIMITS, Limits
from headwater.data.readers import reader
from headwater.data.schema import CONTINUOUS, Schema
from headwater.data.split import count_duplicates, count_leaks, split_rows
from headwater.errors import DataError, UsageError
from headwater.progress import Progress, SilentProgress
from headwater.settings import DataSettings

__all__ = ["open_dataset", "read"]


def open_dataset(
    data: Any = None, settings: DataSettings | None = None, *, progress: Progress | None = None, limits: Limits = LIMITS
) -> Dataset:
    """Read ``data`` (or ``settings.path``) into a :class:`Dataset`.

    Args:
        data: A path, an array or tensor, a pair ``(x, y)``, a mapping of arrays, a data frame, or a Dataset.
        settings: How to read it; what is left out is detected.
        progress: Told of each phase.
        limits: What is accepted at most.

    Raises:
        DataError: it cannot be read; the message names file, row and column.
        MissingExtraError: a table, and polars is not installed.
    """
    if isinstance(data, Dataset):
        return data
    settings, progress = settings or DataSettings(), progress or SilentProgress()
    source = data if data is not None else settings.path
    if source is None:
        raise UsageError("No data was given.", hint="Name it: --set data.path=FILE, or pass an array or frame.")
    declared = None if settings.schema_path is None else Schema.read(Path(settings.schema_path))
    reading = read(source, settings, limits, progress, declared)
    return _split(reading, settings, progress)


def read(
    data: Any, settings: DataSettings, limits: Limits, progress: Progress, declared: Schema | None = None
) -> Reading:
    """All rows of ``data`` by the reader of its kind, stored as ``declared`` where a schema is given.

    Raises:
        DataError: it cannot be read, or is not what was declared.
    """
    source = Path(data) if isinstance(data, str) else data
    kind = settings.kind if settings.kind != "auto" else detect_kind(source, limits)
    if isinstance(source, Path) and not source.is_dir():
        regular_file(source)
    if declared is not None and (kind == "table") != (declared.kind == "table"):
        raise DataError(f"The schema says kind is {declared.kind!r}, the data is read as {kind!r}.")
    reading = reader(kind)(source, settings, limits, progress, declared)
    if declared is not None:
        adopt(reading, declared)
    return reading


def _split(reading: Reading, settings: DataSettings, progress: Progress) -> Dataset:
    rows = len(reading.storage)
    with progress.phase("Hashing rows", total=rows, unit="rows") as phase:
        hashes = hash_rows(reading.storage, reading.schema, phase)
    splits = split_rows(hashes, valid=settings.valid, test=settings.test, seed=settings.split_seed, fixed=reading.fixed)
    _warn_of_repeats(reading, hashes, splits, settings)
    dataset = Dataset(reading, hashes, splits, settings)
    for note in dataset.notes:
        progress.note(note)
    for warning in dataset.warnings:
        progress.warn(warning)
    return dataset


def _warn_of_repeats(reading: Reading, hashes: Any, splits: Any, settings: DataSettings) -> None:
    duplicates = count_duplicates(hashes)
    continuous = any(column.type in CONTINUOUS for column in reading.schema.kept)
    if continuous and duplicates > 0.01 * len(hashes):
        reading.warnings.append(
            f"{duplicates} of {len(hashes)} rows are duplicates: the likelihood of real columns can grow without bound."
        )
    if reading.fixed:
        leaks = {name: count for name, count in count_leaks(hashes, splits).items() if count}
        for name, count in leaks.items():
            reading.warnings.append(
                f"{count} of {len(splits[name])} rows of the {name} split are in the training split too."
            )
