"""The sequence that an alignment is made for: one record of known residues."""

from __future__ import annotations

import re
from pathlib import Path

from headwater.data.alignments.info import ALPHABET
from headwater.errors import DataError

__all__ = ["read_one"]

_RANGE = re.compile(r"(.+)/(-?[0-9]+)-(-?[0-9]+)$")
_UNIPROT = re.compile(r"(?:sp|tr)\|[^|]+\|(.+)$")


def read_one(path: Path) -> tuple[str, str, int]:
    """Name, residues and number of the first; a UniProt header gives the entry's name.

    Raises:
        DataError: unreadable, not one record, an unknown residue, or a range that does not fit.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise DataError(f"{path} cannot be read: {reason}.", hint="Give a FASTA file of one sequence.") from None
    before, *records = ("\n" + text).split("\n>")
    if len(records) != 1 or before.strip():
        raise DataError(
            f"{path}: expected FASTA with one sequence, got {len(records)} records.",
            hint="Keep the target's record only, with its line that begins with >.",
        )
    head, _, body = records[0].partition("\n")
    sequence = "".join(body.split()).upper().removesuffix("*")
    bad = next((i for i, letter in enumerate(sequence) if letter not in ALPHABET), None)
    if bad is not None:
        raise DataError(
            f"{path}: residue {bad + 1} of the target is {sequence[bad]!r}, not one of the twenty.",
            hint="Replace it by the residue of a close relative, or cut the target there.",
        )
    if len(sequence) < 10 or not head.strip():
        raise DataError(f"{path}: expected a name and at least 10 residues, got {head!r} with {len(sequence)}.")
    name = head.split()[0]
    ranged = _RANGE.match(name)
    start = 1
    if ranged is not None:
        name, start = ranged[1], int(ranged[2])
        if int(ranged[3]) - start + 1 != len(sequence):
            raise DataError(
                f"{path}: the target is called {head.split()[0]!r}, but has {len(sequence)} residues.",
                hint="Correct the range, or leave it out to number from 1.",
            )
    known = _UNIPROT.match(name)
    return (known[1] if known else name), sequence, start
