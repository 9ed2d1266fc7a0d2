"""Stockholm: one block of whole rows is streamed; several blocks are put together, row by row in their order.

The j-th line of each block continues the j-th row, so that two rows of one name stay apart.
The format: Pfam and HMMER's user guide, http://eddylab.org/software/hmmer/Userguide.pdf.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headwater.data.alignments.lines import read_lines
from headwater.data.limits import Limits
from headwater.errors import DataError

__all__ = ["is_stockholm", "stockholm_records"]

_GAPS = bytes.maketrans(b"_~", b"--")
_Row = tuple[str, str, bytes]


def is_stockholm(line: bytes) -> bool:
    """Whether a file with this first line is one.

    >>> is_stockholm(b"# STOCKHOLM 1.0"), is_stockholm(b">A")
    (True, False)
    """
    return line.lstrip().upper().startswith(b"# STOCKHOLM")


def stockholm_records(path: Path, limits: Limits, warnings: list[str]) -> Iterator[_Row]:
    """Name, place and residues of each row; annotation lines (``#=GF``, ``#=GC``, ...) are passed over.

    Raises:
        DataError: a line that is no row, blocks that do not agree, or a second alignment; the line is named.
    """
    if _several_blocks(path, limits):
        yield from _joined(path, limits, warnings)
        return
    for number, _, name, residues in _rows(path, limits, warnings):
        yield name, f"line {number}", residues


def _several_blocks(path: Path, limits: Limits) -> bool:
    return any(block > 0 for _, block, _, _ in _rows(path, limits, []))


def _joined(path: Path, limits: Limits, warnings: list[str]) -> Iterator[_Row]:
    names: list[str] = []
    lines: list[int] = []
    rows: list[bytearray] = []
    current, place = 0, -1
    for number, block, name, residues in _rows(path, limits, warnings):
        place = place + 1 if block == current else 0
        current = block
        if block == 0:
            names.append(name)
            lines.append(number)
            rows.append(bytearray(residues))
            continue
        expected = names[place] if place < len(names) else "the end of the block"
        if name != expected:
            raise DataError(
                f"{path}: line {number}: row {place + 1} of block {block + 1} should be {expected!r}, got {name!r}.",
                hint="Every block holds the same rows in the same order, and an empty line ends it.",
            )
        rows[place] += residues
    for i, name in enumerate(names):
        yield name, f"line {lines[i]}", bytes(rows[i])
        rows[i] = bytearray()


def _rows(path: Path, limits: Limits, warnings: list[str]) -> Iterator[tuple[int, int, str, bytes]]:
    """Line, block, name and residues of each line that is part of a row."""
    block, inside, ended = -1, False, False
    for number, line in read_lines(path, limits):
        text = line.strip()
        if not text or text.startswith(b"#"):
            inside = inside and bool(text)
            if ended and is_stockholm(text):
                raise _second(path, number)
            continue
        if ended:
            raise _second(path, number)
        if text == b"//":
            ended = True
            continue
        if not inside:
            block, inside = block + 1, True
        parts = text.split(None, 1)
        if len(parts) < 2:
            got = text[:40].decode("utf-8", "replace")
            raise DataError(
                f"{path}: line {number}: expected a name and its residues, got {got!r}.",
                hint="Is the file complete?",
            )
        yield number, block, parts[0].decode("utf-8", "replace"), b"".join(parts[1].split()).translate(_GAPS)
    if not ended:
        warnings.append(f"{path}: does not end with '//': is it complete?")


def _second(path: Path, number: int) -> DataError:
    return DataError(
        f"{path}: line {number}: a second alignment begins; one is expected.", hint="Give each a file of its own."
    )
