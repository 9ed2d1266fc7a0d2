"""Requested variants of an alignment's target: each is read and checked, and none is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from headwater.applications.variants.spelling import Change, spelled
from headwater.data.alignments.info import ALPHABET, Alignment
from headwater.data.alignments.letters import to_codes

__all__ = ["OK", "Variants", "all_singles", "read_variants"]

OK = "ok"
_PIECE = 4_096


@dataclass(frozen=True, eq=False)
class Variants:
    """What was asked for, in the order asked, and the sequences of what can be scored.

    Args:
        texts: As typed.
        canonical: ``A24C``, several joined by ``:`` in order of position, ``A24=`` and ``WT`` where nothing changes;
            as typed where there is a reason.
        status: ``ok``, or the reason why it has no sequence.
        rows: Numbers of the rows whose status is ``ok``, increasing.
        wild_type: Codes 0 .. 19 of the target at the modelled positions.
        starts: Where the changes of each ``ok`` row begin in ``columns``; one more than ``rows``.
        columns: Modelled columns that change.
        residues: What they become.
    """

    texts: tuple[str, ...]
    canonical: tuple[str, ...]
    status: tuple[str, ...]
    rows: Int64[np.ndarray, " ok"]
    wild_type: UInt8[np.ndarray, " columns"]
    starts: Int64[np.ndarray, " ok_1"]
    columns: Int32[np.ndarray, " changes"]
    residues: UInt8[np.ndarray, " changes"]

    def __len__(self) -> int:
        return len(self.texts)

    def codes(self, piece: slice) -> UInt8[np.ndarray, "some columns"]:
        """Full sequences of a slice of the ``ok`` rows."""
        first, last, step = piece.indices(len(self.rows))
        assert step == 1
        last = max(first, last)
        found = np.repeat(self.wild_type[None], last - first, axis=0)
        begin, end = self.starts[first], self.starts[last]
        at = np.repeat(np.arange(last - first), np.diff(self.starts[first : last + 1]))
        found[at, self.columns[begin:end]] = self.residues[begin:end]
        return found

    def pieces(self, size: int = _PIECE) -> Iterator[tuple[slice, UInt8[np.ndarray, "some columns"]]]:
        """The ``ok`` rows' sequences, ``size`` at a time."""
        for first in range(0, len(self.rows), size):
            piece = slice(first, min(first + size, len(self.rows)))
            yield piece, self.codes(piece)

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Figures of the ``ok`` rows at all rows, NaN elsewhere."""
        found = np.full(len(self), np.nan)
        found[self.rows] = values
        return found


def all_singles(alignment: Alignment) -> list[str]:
    """The 19 L single substitutions of the modelled positions, in order of position, then of the alphabet."""
    pairs = zip(alignment.wild_type, alignment.positions, strict=True)
    return [f"{wild}{position}{to}" for wild, position in pairs for to in ALPHABET if to != wild]


def read_variants(texts: Sequence[str], alignment: Alignment) -> Variants:
    """Read spellings (see :func:`~headwater.applications.variants.spelling.spelled`) and check them.

    A row that cannot be scored keeps its place, with the reason as its status: no substitution, an indel, a
    stop, an unknown residue, a position outside of the target or in a dropped column, a residue that the target does
    not have there, a position changed twice. What changes nothing (``A24=``, ``A24A``, ``WT``) is ``ok``: its sequence
    is the wild type's.

    Args:
        texts: What is asked for.
        alignment: Whose target the variants are of.
    """
    column_of = {position: i for i, position in enumerate(alignment.positions)}
    checked: dict[Change, str] = {}
    canonical: list[str] = []
    status: list[str] = []
    rows: list[int] = []
    starts, columns, residues = [0], [], []
    for row, text in enumerate(texts):
        spelling = spelled(text)
        reason = spelling.reason
        for change in spelling.changes:
            if change not in checked:
                checked[change] = _misfit(change, alignment, column_of)
            reason = reason or checked[change]
        canonical.append(text if reason else spelling.canonical)
        status.append(reason or OK)
        if reason:
            continue
        rows.append(row)
        real = [change for change in spelling.changes if change.to != change.wild]
        columns += [column_of[change.position] for change in real]
        residues += [ALPHABET.index(change.to) for change in real]
        starts.append(len(columns))
    return Variants(
        texts=tuple(texts),
        canonical=tuple(canonical),
        status=tuple(status),
        rows=np.array(rows, dtype=np.int64),
        wild_type=to_codes(alignment.wild_type.encode()),
        starts=np.array(starts, dtype=np.int64),
        columns=np.array(columns, dtype=np.int32),
        residues=np.array(residues, dtype=np.uint8),
    )


def _misfit(change: Change, alignment: Alignment, column_of: dict[int, int]) -> str:
    """Why a substitution does not fit the target; empty where it does."""
    position, first = change.position, alignment.start
    last = first + len(alignment.sequence) - 1
    if not first <= position <= last:
        return f"position {position} lies outside of the target {alignment.name}, which spans {first} to {last}"
    there = alignment.sequence[position - first]
    if there != change.wild:
        return f"the target {alignment.name} has {there} at position {position}, not {change.wild}"
    if position not in column_of:
        lower = alignment.dropped.get("columns_lower_case", 0)
        how = "columns=all" if lower else "column_gaps=1"
        return f"position {position} is not modelled; to score it, fit with --set data.alignment.{how}"
    return ""
