"""Where everything of a heat map lies: positions in wrapped rows of columns, residues grouped by chemistry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CELL", "GROUPS", "HEAD", "HEIGHT", "LEFT", "Band", "bands_of", "rows_of", "width_of"]

CELL, LEFT = 12.0, 92.0
GROUPS = (
    ("aliphatic", "AVILM"),
    ("aromatic", "FWY"),
    ("special", "CGP"),
    ("polar", "STNQ"),
    ("positive", "HKR"),
    ("negative", "DE"),
)
_MOST_COLUMNS = 80
_JUMP, _SPACE = 5.0, 3.0
_TOP, _DIGIT = 16.0, 6.2
_LEAST_WIDTH, _MARGIN = 700.0, 14.0
HEAD = 74.0
HEIGHT = _TOP + 20 * CELL + (len(GROUPS) - 1) * _SPACE + CELL + 34.0


@dataclass(frozen=True)
class Band:
    """One row of columns; lengths in pixels from the band's upper left corner.

    Attributes:
        columns: Number of its first column and of the one after its last.
        x: Left side of each column; a gap stands where the numbering jumps.
        ticks: (middle, number) of the columns that are numbered.
        jumps: (middle of the gap, first, last position that is not there).
        width: To the right side of the last column.
    """

    columns: tuple[int, int]
    x: tuple[float, ...]
    ticks: tuple[tuple[float, int], ...]
    jumps: tuple[tuple[float, int, int], ...]
    width: float


def rows_of() -> tuple[dict[str, float], tuple[tuple[str, float], ...], float]:
    """Top of each residue's row, (name, middle) of each group, and the bottom of the last row."""
    tops: dict[str, float] = {}
    middles: list[tuple[str, float]] = []
    y = _TOP
    for name, residues in GROUPS:
        middles.append((name, y + CELL * len(residues) / 2))
        for residue in residues:
            tops[residue] = y
            y += CELL
        y += _SPACE
    return tops, tuple(middles), y - _SPACE


def bands_of(positions: Sequence[int]) -> list[Band]:
    """Rows of nearly equal numbers of columns, 80 at most."""
    count = math.ceil(len(positions) / _MOST_COLUMNS)
    each = math.ceil(len(positions) / count)
    return [_band(positions, first, min(first + each, len(positions))) for first in range(0, len(positions), each)]


def width_of(positions: Sequence[int]) -> float:
    """Of the whole picture: its widest row of columns, or what the legend needs."""
    return max(_LEAST_WIDTH, *(band.width + _MARGIN for band in bands_of(positions)))


def _band(positions: Sequence[int], first: int, end: int) -> Band:
    x, jumps, at = [LEFT], [], LEFT
    for before, here in itertools.pairwise(positions[first:end]):
        at += CELL
        if here != before + 1:
            jumps.append((at + _JUMP / 2, before + 1, here - 1))
            at += _JUMP
        x.append(at)
    return Band((first, end), tuple(x), _ticks(positions[first:end], x), tuple(jumps), at + CELL)


def _ticks(numbers: Sequence[int], x: Sequence[float]) -> tuple[tuple[float, int], ...]:
    """The first position and every tenth, as far as their numbers do not touch."""
    chosen: list[tuple[float, int]] = []
    for number, left in zip(numbers, x, strict=True):
        middle = left + CELL / 2
        room = _DIGIT * (len(str(number)) + 1)
        if not chosen or (number % 10 == 0 and middle - chosen[-1][0] >= room):
            chosen.append((middle, number))
    return tuple(chosen)
