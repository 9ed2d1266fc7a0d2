"""Records of an alignment file as a stream: FASTA and its kin A2M and A3M, Stockholm, or texts from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headwater.data.alignments.lines import read_lines
from headwater.data.alignments.stockholm import is_stockholm, stockholm_records
from headwater.data.limits import Limits
from headwater.errors import DataError

__all__ = ["Record", "Source", "fasta_records", "open_records"]

_STOCKHOLM = {".sto", ".stk", ".stockholm"}
_SHOWN = 40


class Record(NamedTuple):
    """One sequence as it stands there."""

    name: str
    place: str
    sequence: bytes


@dataclass
class Source:
    """An alignment that can be read again and again.

    Args:
        where: Its name in messages.
        format: fasta, stockholm or python.
        records: Gives the records; each call starts anew.
        suffix: Of the file, without ``.gz``.
        notes: What was decided while opening it.
        warnings: What the user should know.
    """

    where: str
    format: str
    records: Callable[[], Iterator[Record]]
    suffix: str = ""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def open_records(data: Any, limits: Limits, wanted: str = "auto") -> Source:
    """The records of a file, whose first line says what it is, or of texts (a mapping from names, or a sequence).

    Args:
        data: Path, mapping, list or array.
        limits: What is accepted at most.
        wanted: auto, a2m, a3m, fasta or stockholm; the content must be that.

    Raises:
        DataError: not an alignment, or not of the format that was said.
    """
    if not isinstance(data, Path):
        return Source("the sequences", "python", lambda: _texts(data))
    suffix = (data.with_suffix("") if data.suffix.lower() == ".gz" else data).suffix.lower()
    first = next(((n, line) for n, line in read_lines(data, limits) if line.strip()), None)
    if first is None:
        raise DataError(f"{data}: holds no records.", hint="An alignment begins with '>' or '# STOCKHOLM 1.0'.")
    found = "stockholm" if is_stockholm(first[1]) else "fasta"
    if wanted != "auto" and (wanted == "stockholm") != (found == "stockholm"):
        raise DataError(
            f"{data}: expected {wanted}, got {'Stockholm' if found == 'stockholm' else 'no Stockholm file'}:"
            f" its first line is {_shown(first[1])}.",
            hint="Leave the format to be found out: --set data.alignment.format=auto",
        )
    source = Source(str(data), found, lambda: iter(()), suffix)
    if found == "stockholm":
        source.records = lambda: (Record(*item) for item in stockholm_records(data, limits, source.warnings))
        if suffix not in _STOCKHOLM and suffix:
            source.notes.append(f"The file is named {suffix} and holds Stockholm: read as that.")
        return source
    _refuse_others(data, suffix, *first)
    source.records = lambda: fasta_records(data, limits)
    if suffix in _STOCKHOLM:
        source.notes.append(f"The file is named {suffix} and holds FASTA: read as that.")
    return source


def fasta_records(path: Path, limits: Limits) -> Iterator[Record]:
    """Records of FASTA, A2M and A3M; records of one name stay apart, comments before the first are passed over.

    Raises:
        DataError: text where a name should stand; the line is named.
    """
    name: str | None = None
    place, length = "", 0
    parts: list[bytes] = []
    for number, line in read_lines(path, limits):
        if line.startswith(b">"):
            if name is not None:
                yield Record(name, place, b"".join(parts))
            name, place = line[1:].strip().decode("utf-8", "replace"), f"line {number}"
            parts, length = [], 0
        elif name is not None:
            part = b"".join(line.split())
            length += len(part)
            limits.check("elements", length, f"{path}: the record of {place}")
            parts.append(part)
        elif line.strip() and line[:1] not in b"#;":
            raise _no_name(path, number, line)
    if name is not None:
        yield Record(name, place, b"".join(parts))


def _texts(data: Any) -> Iterator[Record]:
    named = data.items() if isinstance(data, Mapping) else ((f"sequence {i}", text) for i, text in enumerate(data))
    for i, (name, text) in enumerate(named):
        if not isinstance(text, str | np.str_):
            raise DataError(f"Sequence {i}: expected a text of residues, got {type(text).__name__}.")
        yield Record(str(name), f"sequence {i}", "".join(text.split()).encode("utf-8"))


def _refuse_others(path: Path, suffix: str, number: int, line: bytes) -> None:
    if line.startswith(b"#=G") or (suffix in _STOCKHOLM and not line.startswith(b">")):
        raise DataError(
            f"{path}: line {number}: a Stockholm file begins with '# STOCKHOLM 1.0', got {_shown(line)}.",
            hint="Put that line first, or give the alignment as FASTA.",
        )
    if line.upper().startswith((b"CLUSTAL", b"MUSCLE", b"PROBCONS", b"MSF", b"!!AA", b"PILEUP")):
        raise DataError(
            f"{path}: this is a format that is not read: its first line is {_shown(line)}.",
            hint="Convert it to aligned FASTA or Stockholm.",
        )
    if line[:1] not in b">#;":
        raise _no_name(path, number, line)


def _no_name(path: Path, number: int, line: bytes) -> DataError:
    return DataError(
        f"{path}: line {number}: expected '>' and a name, got {_shown(line)}.",
        hint="FASTA, A2M and A3M begin with '>', Stockholm with '# STOCKHOLM 1.0'.",
    )


def _shown(line: bytes) -> str:
    text = line[:_SHOWN].decode("utf-8", "replace")
    return repr(text + ("..." if len(line) > _SHOWN else ""))
