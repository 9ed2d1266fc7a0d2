"""The second pass over an alignment: rows as residue codes in the target's columns, each record's fault named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from headwater.data.alignments.info import GAP
from headwater.data.alignments.letters import ILLEGAL, INSERTED, TABLE
from headwater.data.alignments.records import Record, Source
from headwater.data.alignments.survey import limited
from headwater.data.tables.source import Ragged
from headwater.progress import Phase

__all__ = ["Rows", "compact", "read_rows"]

_BATCH_BYTES = 4_000_000


@dataclass
class Rows:
    """Rows that were read.

    Args:
        codes: ``(rows, kept columns)`` uint8.
        focus: Which of them is the focus; -1: none.
        gaps: Gaps of each column.
        fragments: Rows left out because they have too many gaps.
        insertions: Rows of which insertions were left out.
        bad: Records that could not be read.
    """

    codes: np.ndarray
    focus: int = -1
    gaps: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    fragments: int = 0
    insertions: int = 0
    bad: Ragged = field(default_factory=Ragged)


class _Item(NamedTuple):
    number: int
    record: Record
    sequence: bytes


def read_rows(
    source: Source,
    count: int,
    columns: np.ndarray,
    width: int,
    *,
    strip: bool,
    fragments: float,
    focus: int,
    phase: Phase,
) -> Rows:
    """Encode the first ``count`` records.

    Args:
        source: The records.
        count: How many.
        columns: Those to keep of the ``width`` that a row must have.
        width: Columns of a row.
        strip: Whether lower case and dots are left out first.
        fragments: Rows with a greater share of gaps are left out.
        focus: Number of the focus's record.
        phase: Told of each record.
    """
    rows = Rows(np.empty((count, len(columns)), dtype=np.uint8), gaps=np.zeros(len(columns), dtype=np.int64))
    done = 0
    for batch in _batches(source, count, width, strip, rows, phase):
        pixels = np.frombuffer(b"".join(item.sequence for item in batch), dtype=np.uint8).reshape(-1, width)
        codes = TABLE[pixels]
        legal = codes.max(axis=1) != ILLEGAL
        for i in np.flatnonzero(~legal).tolist():
            place = int((codes[i] == ILLEGAL).argmax())
            text = batch[i].sequence[place : place + 1].decode("latin-1")
            _refuse(rows, batch[i].record, f"has {text!r} in column {place + 1}, which is no residue")
        codes = codes[:, columns]
        empty = codes == GAP
        whole = empty.mean(axis=1) <= fragments
        kept = legal & whole
        rows.fragments += int((legal & ~whole).sum())
        rows.gaps += empty[kept].sum(axis=0)
        number = int(kept.sum())
        rows.codes[done : done + number] = codes[kept]
        for i, item in enumerate(batch):
            if item.number == focus and kept[i]:
                rows.focus = done + int(kept[:i].sum())
        done += number
    rows.codes = rows.codes[:done]
    return rows


def _batches(source: Source, count: int, width: int, strip: bool, rows: Rows, phase: Phase) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    for number, record in enumerate(limited(source, count)):
        phase.advance()
        sequence = record.sequence
        if strip:
            sequence = sequence.translate(None, INSERTED)
            rows.insertions += len(sequence) < len(record.sequence)
        if not record.sequence:
            _refuse(rows, record, "is an empty sequence")
        elif len(sequence) != width:
            without = " without insertions" * strip
            _refuse(rows, record, f"has {len(sequence)} columns{without}, the focus has {width}")
        else:
            batch.append(_Item(number, record, sequence))
        if len(batch) * width > _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _refuse(rows: Rows, record: Record, reason: str) -> None:
    rows.bad.add(f"{record.place}: {record.name[:80]}", reason)


def compact(codes: np.ndarray, keep: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """``codes[keep][:, columns]`` in the same memory: what is kept moves towards the start, some rows at a time."""
    if keep.all() and columns.all():
        return codes
    width, flat, done = int(columns.sum()), codes.reshape(-1), 0
    step = max(1, _BATCH_BYTES // max(codes.shape[1], 1))
    for start in range(0, len(codes), step):
        piece = codes[start : start + step][keep[start : start + step]][:, columns]
        flat[done : done + piece.size] = piece.reshape(-1)
        done += piece.size
    return flat[:done].reshape(-1, width)
