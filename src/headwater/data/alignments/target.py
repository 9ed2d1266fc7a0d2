"""The target of an alignment: its residues, their numbers, and the columns in which they stand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headwater.data.alignments.info import GAP, UNKNOWN
from headwater.data.alignments.letters import ILLEGAL, INSERTED, to_codes
from headwater.data.alignments.records import Record
from headwater.errors import DataError

__all__ = ["Target", "read_target"]

_RANGE = re.compile(r"(.+?)/(-?\d+)-(-?\d+)")


@dataclass
class Target:
    """The focus row of an alignment, read.

    Args:
        name: Without range.
        sequence: Residues, upper case, without gaps.
        start: Number of the first residue, from the range in its name; 1 without one.
        width: Columns of a row, insertions left out where they are to be.
        columns: Those to keep, ``(kept,)``.
        positions: The target's number of the residue in each.
        left_out: Columns not kept, by reason.
        warning: What does not agree.
    """

    name: str
    sequence: str
    start: int
    width: int
    columns: np.ndarray
    positions: np.ndarray
    left_out: dict[str, int]
    warning: str = ""


def read_target(record: Record, where: str, *, strip: bool, columns: Literal["all", "upper"]) -> Target:
    """Columns in which the focus has a known residue (``upper``: an upper-case one) and their numbers.

    Args:
        record: The focus.
        where: The alignment's name in messages.
        strip: Whether insertions are left out of rows.
        columns: Which residues of the focus count.

    Raises:
        DataError: letters that are no residue, only gaps, or a focus without upper-case letters.
    """
    letters = np.frombuffer(record.sequence, dtype=np.uint8)
    codes = to_codes(record.sequence)
    if (codes == ILLEGAL).any():
        place = int((codes == ILLEGAL).argmax())
        text = record.sequence[place : place + 1].decode("latin-1")
        raise DataError(
            f"{where}: {record.place}: the focus {record.name!r} has {text!r} in column {place + 1}; it is no residue.",
            hint="Residues are the letters A-Z, gaps '-' and '.'.",
        )
    residues = codes != GAP
    if not residues.any():
        raise DataError(f"{where}: {record.place}: the focus {record.name!r} has no residues.")
    lower = letters >= ord("a")
    matches = ~np.isin(letters, np.frombuffer(INSERTED, dtype=np.uint8)) if strip else np.ones(len(codes), dtype=bool)
    name, start, end = _name(record.name)
    numbers = start + np.cumsum(residues) - 1
    case = residues & lower & (strip | (columns == "upper"))
    unknown = residues & ~case & (codes == UNKNOWN)
    kept = matches & residues & ~case & ~unknown
    if not kept.any():
        raise DataError(
            f"{where}: {record.place}: the focus {record.name!r} has no known residue in upper case.",
            hint="Take them in any case: --set data.alignment.columns=all",
        )
    sequence = bytes(letters[residues]).decode("ascii").upper()
    left_out = {
        "columns_insertions": int((matches & ~residues).sum()),
        "columns_lower_case": int(case.sum()),
        "columns_unknown_residue": int(unknown.sum()),
    }
    warning = ""
    if end is not None and end - start + 1 != len(sequence):
        warning = (
            f"{record.name!r}: the range has {end - start + 1} residues, the sequence {len(sequence)};"
            f" they are numbered from {start}."
        )
    within = np.cumsum(matches) - 1
    return Target(name, sequence, start, int(matches.sum()), within[kept], numbers[kept], left_out, warning)


def _name(text: str) -> tuple[str, int, int | None]:
    """``NAME/start-end`` in parts.

    >>> _name("BLAT_ECOLX/24-286 beta-lactamase")
    ('BLAT_ECOLX', 24, 286)
    >>> _name("BLAT")
    ('BLAT', 1, None)
    """
    word = text.split(maxsplit=1)[0] if text.strip() else "target"
    found = _RANGE.fullmatch(word)
    return (found[1], int(found[2]), int(found[3])) if found else (word, 1, None)
