"""The reader of tables: survey every column in one pass, store a float64 matrix in a second one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headwater.data.cache import CacheEntry, cached, content_key, stamp
from headwater.data.dataset import Reading, Skipped
from headwater.data.labels import encode_labels
from headwater.data.limits import Limits
from headwater.data.schema import Column, Label, Schema
from headwater.data.tables.csvfile import open_csv
from headwater.data.tables.encode import encode_column, encode_frame
from headwater.data.tables.frames import is_frame, open_frame, open_parquet
from headwater.data.tables.infer import Findings, describe_column
from headwater.data.tables.source import Source, require_polars
from headwater.data.tables.survey import Survey
from headwater.errors import DataError, did_you_mean
from headwater.progress import Progress
from headwater.settings import DataSettings

__all__ = ["read_table"]

_IN_MEMORY = 64_000_000


def read_table(data: Any, settings: DataSettings, limits: Limits, progress: Progress) -> Reading:
    """Read a CSV or Parquet file or a data frame.

    Raises:
        MissingExtraError: polars is not installed.
        DataError: unreadable, too few rows, or values that do not fit; with line and column.
    """
    require_polars()
    if is_frame(data):
        return _read(open_frame(data, limits), settings, limits, progress, None)
    path = Path(data)
    parquet = path.suffix.lower() in (".parquet", ".pq") or _starts_with(path, b"PAR1")
    source = open_parquet(path, limits) if parquet else open_csv(path, settings, limits)
    if path.stat().st_size * (4 if parquet else 1) <= _IN_MEMORY:
        return _read(source, settings, limits, progress, None)
    return _through_cache(path, source, settings, limits, progress)


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _through_cache(path: Path, source: Source, settings: DataSettings, limits: Limits, progress: Progress) -> Reading:
    def fill(entry: CacheEntry) -> None:
        reading = _read(source, settings, limits, progress, entry)
        if reading.labels is not None:
            np.save(entry.folder / "labels.npy", reading.labels)
        plain = {"schema": reading.schema.to_json(), "skipped": reading.skipped}
        entry.write(plain | {"notes": reading.notes, "warnings": reading.warnings})

    stamps = [stamp(path)]
    if settings.schema_path is not None:
        stamps.append(stamp(Path(settings.schema_path)))
    decides = settings.model_dump(mode="json", exclude={"valid", "test", "split_seed", "target", "categorical"})
    entry = cached(content_key(stamps, decides), fill)
    storage, told = entry.load("storage"), entry.read()
    assert storage is not None
    skipped = tuple(Skipped(*item) for item in told["skipped"])
    schema = Schema.from_json(told["schema"])
    return Reading(schema, storage, entry.load("labels"), {}, skipped, told["notes"], told["warnings"])


def _read(
    source: Source, settings: DataSettings, limits: Limits, progress: Progress, entry: CacheEntry | None
) -> Reading:
    findings = Findings()
    surveys = _survey(source, settings, progress)
    rows = next(iter(surveys.values())).rows if surveys else 0
    skipped = _check_ragged(source, rows, settings, findings)
    limits.check("rows", rows, source.where)
    if rows < 2:
        raise DataError(f"{source.where}: expected at least 2 rows, got {rows}.", hint="Give more data.")
    columns = _columns(surveys, settings, limits, findings)
    label_name = _label_name(columns, settings, source)
    label_column = columns.pop(label_name) if label_name is not None else None
    kept = tuple(column for column in columns.values() if column.type != "drop")
    if not kept:
        raise DataError(
            f"{source.where}: no column is left to model.", hint="Keep one: --set data.columns.NAME.type=categorical"
        )
    shape = (rows, len(kept))
    storage = entry.create("storage", shape, np.dtype(np.float64)) if entry else np.empty(shape)
    raw_labels = _store(source, settings, kept, label_column, storage, progress)
    labels, label = None, None
    if label_column is not None and raw_labels is not None:
        labels, label = _label(raw_labels, label_column, limits)
    schema = Schema(kind="table", shape=(len(kept),), columns=tuple(columns.values()), label=label, source=source.kind)
    return Reading(schema, storage, labels, {}, skipped, source.notes + findings.notes, findings.warnings)


def _survey(source: Source, settings: DataSettings, progress: Progress) -> dict[str, Survey]:
    surveys = {
        name: Survey(
            name, source.where, source.first_line, tuple(settings.columns.get(name, {}).get("missing_tokens", ()))
        )
        for name in source.names
    }
    with progress.phase("Surveying columns", total=source.rows, unit="rows") as phase:
        for frame in _limited(source, settings.max_rows):
            for name, survey in surveys.items():
                survey.update(frame.get_column(name))
            phase.advance(frame.height)
    return surveys


def _limited(source: Source, most: int | None) -> Any:
    left = most
    for frame in source.batches():
        if left is None:
            yield frame
            continue
        yield frame.head(left)
        left -= min(left, frame.height)
        if left == 0:
            return


def _check_ragged(source: Source, rows: int, settings: DataSettings, findings: Findings) -> tuple[Skipped, ...]:
    bad = source.ragged
    if not bad.count:
        return ()
    record, reason = bad.first[0]
    told = f"{source.where}: {bad.count} of {rows + bad.count} records do not fit; the first: {record} {reason}."
    if bad.count > settings.skip * (rows + bad.count):
        raise DataError(told, hint="Mend them, set --set data.delimiter, or allow it: --set data.skip=0.5")
    findings.warnings.append(f"{told} They were skipped.")
    return tuple(Skipped(*item) for item in bad.first)


def _columns(
    surveys: dict[str, Survey], settings: DataSettings, limits: Limits, findings: Findings
) -> dict[str, Column]:
    for name in settings.columns:
        if name not in surveys:
            raise DataError(f"There is no column {name!r}.", hint=did_you_mean(name, surveys))
    given: dict[str, dict[str, Any]] = {name: dict(fields) for name, fields in settings.columns.items()}
    if settings.schema_path is not None:
        for column in Schema.read(Path(settings.schema_path)).columns:
            if column.name not in surveys:
                raise DataError(
                    f"{settings.schema_path}: the data has no column {column.name!r}.",
                    hint=did_you_mean(column.name, surveys),
                )
            own = column.model_dump(exclude_unset=True)
            given[column.name] = own | given.get(column.name, {})
    return {name: describe_column(survey, given.get(name, {}), limits, findings) for name, survey in surveys.items()}


def _label_name(columns: dict[str, Column], settings: DataSettings, source: Source) -> str | None:
    if settings.label in (None, "none"):
        return None
    if settings.label not in columns:
        raise DataError(
            f"{source.where}: there is no label column {settings.label!r}.",
            hint=did_you_mean(str(settings.label), columns),
        )
    if columns[settings.label].type == "drop":
        raise DataError(
            f"{source.where}: column {settings.label!r} cannot be a label: it has too many different values.",
            hint=f"If you mean it: --set data.columns.{settings.label}.type=categorical",
        )
    return settings.label


def _store(
    source: Source,
    settings: DataSettings,
    kept: tuple[Column, ...],
    label: Column | None,
    storage: np.ndarray,
    progress: Progress,
) -> np.ndarray | None:
    labels: list[np.ndarray] = []
    start = 0
    with progress.phase("Storing rows", total=len(storage), unit="rows") as phase:
        for frame in _limited(source, settings.max_rows):
            storage[start : start + frame.height] = encode_frame(frame, kept, start=start)
            if label is not None:
                labels.append(encode_column(frame.get_column(label.name), label, start=start))
            start += frame.height
            phase.advance(frame.height)
    if isinstance(storage, np.memmap):
        storage.flush()
    return np.concatenate(labels) if labels else None


def _label(values: np.ndarray, column: Column, limits: Limits) -> tuple[np.ndarray, Label]:
    if column.categories:
        codes = np.where(np.isnan(values), -1, values).astype(np.int64)
        return codes, Label(name=column.name, classes=column.categories, source=column.source)
    codes, label = encode_labels(values, name=column.name, limits=limits)
    written = "Int64" if column.source == "String" and label.classes else column.source
    return codes, label.model_copy(update={"source": written or label.source})
