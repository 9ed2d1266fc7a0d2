"""The reader of tables: survey every column in one pass, store a float64 matrix in a second one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headwater.data.cache import CacheEntry, cached, content_key, release, stamp
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
_DECIDES_NOTHING = {"valid", "test", "split_seed", "target", "categorical", "schema_path", "path"}


@dataclass(frozen=True)
class _Task:
    """A source and all that decides how it is read."""

    source: Source
    settings: DataSettings
    limits: Limits
    progress: Progress
    declared: Schema | None = None

    @property
    def declared_columns(self) -> dict[str, dict[str, Any]]:
        """Fields of each declared column; those that a type needs and that were left out are found out."""
        columns = () if self.declared is None else self.declared.columns
        return {
            column.name: {
                name: v for name, v in column.model_dump().items() if v not in (None, ()) and name != "distinct"
            }
            for column in columns
        }

    def tokens(self, name: str) -> tuple[str, ...]:
        """Further texts that mean "missing" in a column."""
        given = self.declared_columns.get(name, {}) | self.settings.columns.get(name, {})
        return tuple(given.get("missing_tokens", ()))


def read_table(
    data: Any, settings: DataSettings, limits: Limits, progress: Progress, declared: Schema | None = None
) -> Reading:
    """Read a CSV or Parquet file or a data frame; columns that are ``declared`` are read as declared.

    Raises:
        MissingExtraError: polars is not installed.
        DataError: unreadable, too few rows, or values that do not fit; with line and column.
    """
    require_polars()
    if is_frame(data):
        return _read(_Task(open_frame(data, limits), settings, limits, progress, declared))
    path = Path(data)
    parquet = path.suffix.lower() in (".parquet", ".pq") or _starts_with(path, b"PAR1")
    source = open_parquet(path, limits) if parquet else open_csv(path, settings, limits)
    if path.stat().st_size * (4 if parquet else 1) <= _IN_MEMORY:
        return _read(_Task(source, settings, limits, progress, declared))
    return _through_cache(path, _Task(source, settings, limits, progress, declared))


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _through_cache(path: Path, task: _Task) -> Reading:
    def fill(entry: CacheEntry) -> None:
        reading = _read(task, entry)
        if reading.labels is not None:
            np.save(entry.folder / "labels.npy", reading.labels)
        plain = {"schema": reading.schema.to_json(), "skipped": reading.skipped}
        entry.write(plain | {"notes": reading.notes, "warnings": reading.warnings})

    decides = task.settings.model_dump(mode="json", exclude=_DECIDES_NOTHING)
    decides["declared"] = None if task.declared is None else task.declared.to_json()
    entry = cached(content_key([stamp(path)], decides), fill)
    storage, told = entry.load("storage"), entry.read()
    assert storage is not None
    skipped = tuple(Skipped(*item) for item in told["skipped"])
    schema = Schema.from_json(told["schema"])
    return Reading(schema, storage, entry.load("labels"), {}, skipped, told["notes"], told["warnings"])


def _read(task: _Task, entry: CacheEntry | None = None) -> Reading:
    source, settings, findings = task.source, task.settings, Findings()
    surveys = _survey(task)
    rows = next(iter(surveys.values())).rows if surveys else 0
    skipped = _check_ragged(source, rows, settings, findings)
    task.limits.check("rows", rows, source.where)
    if rows == 0:
        raise DataError(f"{source.where}: holds no rows.", hint="Give more data.")
    columns = _columns(task, surveys, findings)
    label_name = _label_name(columns, task)
    label_column = columns.pop(label_name) if label_name is not None else None
    kept = tuple(column for column in columns.values() if column.type != "drop")
    if not kept:
        raise DataError(
            f"{source.where}: no column is left to model.", hint="Keep one: --set data.columns.NAME.type=categorical"
        )
    shape = (rows, len(kept))
    storage = entry.create("storage", shape, np.dtype(np.float64)) if entry else np.empty(shape)
    raw_labels = _store(task, kept, label_column, storage)
    labels, label = None, None
    if label_column is not None and raw_labels is not None:
        labels, label = _label(raw_labels, label_column, task.limits)
    schema = Schema(kind="table", shape=(len(kept),), columns=tuple(columns.values()), label=label, source=source.kind)
    return Reading(schema, storage, labels, {}, skipped, source.notes + findings.notes, findings.warnings)


def _survey(task: _Task) -> dict[str, Survey]:
    source = task.source
    surveys = {name: Survey(name, source.where, source.first_line, task.tokens(name)) for name in source.names}
    with task.progress.phase("Surveying columns", total=source.rows, unit="rows") as phase:
        for frame in _limited(source, task.settings.max_rows):
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


def _columns(task: _Task, surveys: dict[str, Survey], findings: Findings) -> dict[str, Column]:
    for name in (*task.settings.columns, *task.declared_columns):
        if name not in surveys and task.declared_columns.get(name, {}).get("type") != "drop":
            raise DataError(f"{task.source.where}: there is no column {name!r}.", hint=did_you_mean(name, surveys))
    columns = {}
    for name in _order(task, surveys, findings):
        given = task.declared_columns.get(name, {}) | task.settings.columns.get(name, {})
        columns[name] = describe_column(surveys[name], given, task.limits, findings)
    return columns


def _order(task: _Task, surveys: dict[str, Survey], findings: Findings) -> list[str]:
    """Declared columns in their order, then the label; without a declaration all columns as they come."""
    if task.declared is None:
        return list(surveys)
    order = [name for name in task.declared_columns if name in surveys]
    if task.settings.label in surveys and task.settings.label not in order:
        order.append(str(task.settings.label))
    extra = [name for name in surveys if name not in order]
    if extra:
        findings.notes.append(f"The schema does not declare {', '.join(map(repr, extra[:10]))}: left out.")
    return order


def _label_name(columns: dict[str, Column], task: _Task) -> str | None:
    wanted, where = task.settings.label, task.source.where
    if wanted in (None, "none"):
        return None
    if wanted not in columns:
        if task.declared is not None and task.declared.label is not None and task.declared.label.name == wanted:
            return None  # other data for a model that knows its labels may come without them
        raise DataError(f"{where}: there is no label column {wanted!r}.", hint=did_you_mean(str(wanted), columns))
    if columns[wanted].type == "drop":
        raise DataError(
            f"{where}: column {wanted!r} cannot be a label: it has too many different values.",
            hint=f"If you mean it: --set data.columns.{wanted}.type=categorical",
        )
    return wanted


def _store(task: _Task, kept: tuple[Column, ...], label: Column | None, storage: np.ndarray) -> np.ndarray | None:
    labels: list[np.ndarray] = []
    start = 0
    with task.progress.phase("Storing rows", total=len(storage), unit="rows") as phase:
        for frame in _limited(task.source, task.settings.max_rows):
            storage[start : start + frame.height] = encode_frame(frame, kept, start=start)
            if label is not None:
                labels.append(encode_column(frame.get_column(label.name), label, start=start))
            start += frame.height
            release(storage)
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
