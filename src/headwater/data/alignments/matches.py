"""How many residues two sequences share, for tiles of many pairs: products of one-hot matrices in whole numbers.

``C[i, j] = sum_l sum_a [x_il = a] [y_jl = a]`` over the residues ``a``, and over the gap too where gaps match.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from headwater.data.alignments.info import GAP
from headwater.progress import Phase

__all__ = ["Tile", "count_neighbours", "one_hot", "shared", "tiles"]

_TILE = 2_048
_HELD_BYTES = 256_000_000


class Tile(NamedTuple):
    """Matches ``(rows, columns)`` of the sequences in two slices."""

    rows: slice
    columns: slice
    matches: Tensor


def one_hot(codes: np.ndarray, *, gaps: bool = False) -> Tensor:
    """``(n, L * 20)`` int8 of codes ``(n, L)``; a gap is all zeros, or with ``gaps`` a class of its own."""
    classes = GAP + gaps
    table = torch.zeros(GAP + 1, classes, dtype=torch.int8)
    table[:classes] = torch.eye(classes, dtype=torch.int8)
    return table[torch.from_numpy(np.ascontiguousarray(codes)).int()].reshape(len(codes), -1)


def shared(a: Tensor, b: Tensor) -> Tensor:
    """Matches ``(n, m)`` int32 of one-hot rows: exact, sums of ones in whole numbers."""
    return torch._int_mm(a, b.T)


def tiles(a: np.ndarray, b: np.ndarray | None = None, *, gaps: bool = False, size: int = _TILE) -> Iterator[Tile]:
    """Matches of ``a`` with ``b``, tile by tile; of ``a`` with itself on and above the diagonal where ``b`` is None.

    Memory is bounded by the size of a tile (and 256 MB in which one-hot rows are kept where they fit).
    """
    other = a if b is None else b
    width = a.shape[1] * (GAP + gaps)
    held: dict[int, Tensor] = {}

    def right(start: int) -> Tensor:
        if start in held:
            return held[start]
        made = one_hot(other[start : start + size], gaps=gaps)
        if len(other) * width <= _HELD_BYTES:
            held[start] = made
        return made

    for i in range(0, len(a), size):
        left = right(i) if b is None else one_hot(a[i : i + size], gaps=gaps)
        for j in range(i if b is None else 0, len(other), size):
            rows, columns = slice(i, min(i + size, len(a))), slice(j, min(j + size, len(other)))
            yield Tile(rows, columns, shared(left, right(j)))


def count_neighbours(
    codes: np.ndarray, least: np.ndarray, *, gaps: bool = False, size: int = _TILE, phase: Phase | None = None
) -> np.ndarray:
    """For each row i the number of rows j, itself included, with ``C[i, j] >= least[i]``; ``(N,)`` int64."""
    counts = torch.zeros(len(codes), dtype=torch.int64)
    bounds = torch.from_numpy(least.astype(np.int32))
    for tile in tiles(codes, gaps=gaps, size=size):
        counts[tile.rows] += _count(tile.matches >= bounds[tile.rows, None], dim=1)
        if tile.rows.start != tile.columns.start:
            counts[tile.columns] += _count(tile.matches >= bounds[None, tile.columns], dim=0)
        if phase is not None and tile.columns.stop == len(codes):
            phase.advance(tile.rows.stop - tile.rows.start)
    return counts.numpy()


def _count(mask: Tensor, dim: int) -> Tensor:
    return mask.view(torch.uint8).sum(dim=dim, dtype=torch.int32)  # ten times faster than the sum of a boolean
