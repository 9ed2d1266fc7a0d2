"""Open data of any kind: detect, read, hash, split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headwater.data.dataset import Dataset, Reading
from headwater.data.detect import detect_kind
from headwater.data.hashing import hash_rows
from headwater.data.limits import LIMITS, Limits
from headwater.data.readers import reader
from headwater.data.schema import Schema
from headwater.data.split import count_duplicates, count_leaks, split_rows
from headwater.errors import DataError, UsageError
from headwater.progress import Progress, SilentProgress
from headwater.settings import DataSettings

__all__ = ["open_dataset"]


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
    source = Path(source) if isinstance(source, str) else source
    kind = settings.kind if settings.kind != "auto" else detect_kind(source, limits)
    if isinstance(source, Path) and not source.exists():
        raise DataError(f"{source}: there is no such file or folder.", hint="Check the path.")
    reading = reader(kind)(source, settings, limits, progress)
    if settings.schema_path is not None:
        _check_declared(reading.schema, Schema.read(Path(settings.schema_path)))
    return _split(reading, settings, progress)


def _check_declared(found: Schema, declared: Schema) -> None:
    """What a schema file says of the whole must be so; columns were taken from it while reading.

    Raises:
        DataError: kind or shape differ.
    """
    for name in ("kind", "levels", "layout"):
        if getattr(declared, name) != getattr(found, name):
            raise DataError(
                f"The schema says {name} is {getattr(declared, name)!r}, the data has {getattr(found, name)!r}.",
                hint="Write a new one with: headwater inspect DATA --schema schema.json",
            )
    if found.kind != "table" and declared.shape != found.shape:
        raise DataError(f"The schema says rows are shaped {declared.shape}, the data has {found.shape}.")


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
    continuous = any(column.type in ("real", "positive", "interval") for column in reading.schema.kept)
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
