"""CSV as people have it: encoding, delimiter and header found out; records that do not fit named by their line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.data.archive import regular_file
from headwater.data.limits import Limits
from headwater.data.tables.source import Ragged, Source, require_polars
from headwater.errors import DataError
from headwater.settings import DataSettings

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MISSING", "open_csv"]

MISSING = ("", "?", "NA", "N/A", "na", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "Null", "<NA>", "NaT")
"""Texts that are read as "missing"."""

_BATCH = 50_000
_SAMPLE_CHARACTERS = 1 << 18
_SAMPLE_RECORDS = 200
_CHUNK = 1 << 20
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def open_csv(path: Path, settings: DataSettings, limits: Limits) -> Source:
    """A CSV file as a source of frames of texts.

    Raises:
        DataError: empty, binary, more columns than accepted, or not one record that fits.
    """
    encoding, notes = _encoding(regular_file(path))
    with path.open(encoding=encoding, newline="") as file:
        sample = file.read(_SAMPLE_CHARACTERS)
    delimiter = settings.delimiter or _delimiter(sample)
    records = _sample(sample, delimiter)
    if not records:
        raise DataError(f"{path}: holds no rows.")
    width = Counter(map(len, records[1:] or records)).most_common(1)[0][0]
    header = settings.header if settings.header is not None else _has_header(records, width)
    limits.check("columns", width, str(path))
    names = _names(records[0] if header else [], width, notes)
    if delimiter != ",":
        notes.append(f"Fields are separated by {delimiter!r}.")
    if not header:
        notes.append(f"No header line was found: columns are named {names[0]} .. {names[-1]}.")
    source = Source(str(path), "csv", names, lambda: iter(()), texts=True, notes=notes, first_line=2 if header else 1)

    def batches() -> Iterator[pl.DataFrame]:
        source.ragged = Ragged()
        return _batches(path, encoding, delimiter, header, names, source.ragged)

    source.batches = batches
    return source


def _encoding(path: Path) -> tuple[str, list[str]]:
    """UTF-8 with or without its mark, UTF-16 with one, else Latin-1."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", ["The file is read as UTF-16."]
        file.seek(0)
        latin = False
        while chunk := file.read(_CHUNK):
            if b"\0" in chunk:
                raise DataError(f"{path}: holds binary data, expected a text table.", hint="Is it another format?")
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                latin = True
                decoder.reset()
    if latin:
        return "latin-1", ["The file is not UTF-8: read as Latin-1."]
    return "utf-8-sig", []


def _delimiter(sample: str) -> str:
    """The candidate that cuts most sample records into the same number of at least two fields."""

    def score(delimiter: str) -> tuple[float, int]:
        counts = Counter(len(record) for record in _sample(sample, delimiter))
        width, agreeing = counts.most_common(1)[0] if counts else (1, 0)
        return (agreeing / max(1, counts.total()) if width > 1 else 0.0, width)

    best = max(",;\t|", key=score)
    return best if score(best)[0] > 0 else ","


def _sample(sample: str, delimiter: str) -> list[list[str]]:
    complete = sample if len(sample) < _SAMPLE_CHARACTERS else sample[: sample.rfind("\n") + 1]
    records: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(complete, newline=""), delimiter=delimiter, skipinitialspace=True):
            if any(field.strip() for field in record):
                records.append([field.strip() for field in record])
            if len(records) >= _SAMPLE_RECORDS:
                break
    except csv.Error:
        return records
    return records


def _has_header(records: list[list[str]], width: int) -> bool:
    """A first record of names: no number in it, and numbers below it or no repetition of it."""
    first, rest = records[0], [record for record in records[1:] if len(record) == width]
    if len(first) != width or any(_NUMBER.fullmatch(field) for field in first):
        return False
    if not rest:
        return True
    columns = list(zip(*rest, strict=True))
    if any(sum(bool(_NUMBER.fullmatch(value)) for value in column) > len(column) / 2 for column in columns):
        return True
    return len(set(first)) == width and not any(name in column for name, column in zip(first, columns, strict=True))


def _names(header: list[str], width: int, notes: list[str]) -> list[str]:
    names: list[str] = []
    for i in range(width):
        name = header[i] if i < len(header) and header[i] else f"col_{i}"
        unique, copy = name, 2
        while unique in names:
            unique, copy = f"{name}_{copy}", copy + 1
        if unique != name:
            notes.append(f"Column name {name!r} is there twice: the later one is called {unique!r}.")
        names.append(unique)
    return names


def _batches(
    path: Path, encoding: str, delimiter: str, header: bool, names: list[str], ragged: Ragged
) -> Iterator[pl.DataFrame]:
    pl = require_polars()
    schema = dict.fromkeys(names, pl.String)
    rows: list[list[str]] = []
    for record in _records(path, encoding, delimiter, header, len(names), ragged):
        rows.append(record)
        if len(rows) == _BATCH:
            yield pl.DataFrame(dict(zip(names, zip(*rows, strict=True), strict=True)), schema=schema)
            rows = []
    if rows:
        yield pl.DataFrame(dict(zip(names, zip(*rows, strict=True), strict=True)), schema=schema)


def _records(
    path: Path, encoding: str, delimiter: str, header: bool, width: int, ragged: Ragged
) -> Iterator[list[str]]:
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True)
        line, skip = 1, header
        try:
            for record in reader:
                start, line = line, reader.line_num + 1
                if not record or (len(record) == 1 and not record[0].strip() and width > 1):
                    continue
                if skip:
                    skip = False
                elif len(record) != width:
                    ragged.add(f"line {start}", f"has {len(record)} fields, {width} are expected")
                else:
                    yield record
        except csv.Error as error:
            raise DataError(
                f"{path}: line {line}: {error}.", hint="Is a quotation mark opened there and never closed?"
            ) from None
