"""Who is held out of an alignment: whole families of near-copies, so that nobody is praised for remembering a twin.

Seeds are drawn without replacement in proportion to their weight, by the content of the sequence and the seed of the
split; each brings along what is free among its near-copies. What then is left with a near-copy among the held out is a
*twin*: it is used nowhere. The focus always trains.

Weighted sampling by exponential races: Weighted random sampling with a reservoir (Efraimidis, Spirakis, 2006),
https://doi.org/10.1016/j.ipl.2005.11.003.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from headwater.data.alignments.info import GAP
from headwater.data.alignments.weights import least_matches
from headwater.data.hashing import mix
from headwater.errors import DataError

__all__ = ["IDENTITY", "HeldOut", "hold_out"]

IDENTITY = 0.8
"""Share of its residues from which a sequence is a near-copy of another."""

_SEEDS = 256
_OVER = 1.25  # how far a family may take a split beyond its share


@dataclass
class HeldOut:
    """Row numbers of the splits; ``twins`` are in none of them.

    Args:
        train, valid, test, twins: Row numbers.
        alike: Whether all are near-copies of the focus, so that single sequences had to be held out.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    twins: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    alike: bool = False


def hold_out(
    codes: np.ndarray,
    weights: np.ndarray,
    hashes: np.ndarray,
    *,
    valid: float,
    test: float,
    seed: int,
    focus: int,
    identity: float = IDENTITY,
) -> HeldOut:
    """Split the rows of an alignment; shares are of the sum of the weights.

    Args:
        codes: ``(N, L)``.
        weights: ``(N,)``.
        hashes: Content of each row, ``(N,)`` uint64.
        valid, test: Shares to hold out.
        seed: Another seed, another split.
        focus: Row of the target; -1: none.
        identity: Share of a sequence's own residues that makes it a near-copy.

    Raises:
        DataError: fewer than three different sequences.
    """
    if len(np.unique(hashes)) < 3:
        raise DataError(
            f"Expected at least 3 different sequences, to train on and to hold out, got {len(np.unique(hashes))}"
            f" ({len(codes)} in all).",
            hint="Search a larger database, or accept more distant sequences.",
        )
    residues = codes.shape[1] - (codes == GAP).sum(axis=1)
    near = _Near(codes, least_matches(codes.shape[1], lambda share: share >= identity)[residues])
    u = (mix(hashes + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)).astype(np.float64) + 1.0) * 2.0**-64
    order = np.argsort(-np.log(u) / np.maximum(weights, 1e-300), kind="stable")
    free = np.ones(len(codes), dtype=bool)
    place = np.full(len(codes), "train", dtype="<U5")
    for name, share in (("valid", valid), ("test", test)):
        chosen = _families(near, order, free, weights, share * float(weights.sum()), focus)
        if not len(chosen):
            return _single(hashes, order, valid, test, focus)
        place[chosen], free[chosen] = name, False
        twins = near.twins(np.flatnonzero(free), chosen)
        twins = twins[twins != focus]
        place[twins], free[twins] = "twin", False
    if not (place == "train").sum() or (place == "train").sum() < max(2, len(codes) // 4):
        return _single(hashes, order, valid, test, focus)
    train, validating, testing, twin = (np.flatnonzero(place == name) for name in ("train", "valid", "test", "twin"))
    return HeldOut(train, validating, testing, twin)


@dataclass
class _Near:
    """Which rows are near-copies of which: row i of j where they share ``least[i]`` residues."""

    codes: np.ndarray
    least: np.ndarray

    def families(self, seeds: np.ndarray) -> np.ndarray:
        """``(seeds, N)``: which rows are a near-copy of each seed, or it of them."""
        from headwater.data.alignments.matches import tiles

        found = np.zeros((len(seeds), len(self.codes)), dtype=bool)
        for tile in tiles(self.codes[seeds], self.codes):
            matches = tile.matches.numpy()
            least = np.minimum(self.least[seeds[tile.rows], None], self.least[None, tile.columns])
            found[tile.rows, tile.columns] = matches >= least
        return found

    def twins(self, rows: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Those of ``rows`` that are a near-copy of one that is ``held``."""
        from headwater.data.alignments.matches import tiles

        twin = np.zeros(len(rows), dtype=bool)
        for tile in tiles(self.codes[rows], self.codes[held]):
            twin[tile.rows] |= (tile.matches.numpy() >= self.least[rows[tile.rows], None]).any(axis=1)
        return rows[twin]


def _families(
    near: _Near, order: np.ndarray, free: np.ndarray, weights: np.ndarray, goal: float, focus: int
) -> np.ndarray:
    """Free rows of whole families, about ``goal`` of weight; the smallest family where all are too large."""
    taken = np.zeros(len(free), dtype=bool)
    total, smallest = 0.0, None
    for family in _candidates(near, order, free, taken, focus):
        weight = float(weights[family].sum())
        if total + weight <= _OVER * goal:
            taken[family] = True
            total += weight
        elif smallest is None or weight < smallest[0]:
            smallest = (weight, family)
        if total >= goal:
            break
    if not taken.any() and smallest is not None:
        return smallest[1]
    return np.flatnonzero(taken)


def _candidates(
    near: _Near, order: np.ndarray, free: np.ndarray, taken: np.ndarray, focus: int
) -> Iterator[np.ndarray]:
    seeds = order[free[order]]
    for start in range(0, len(seeds), _SEEDS):
        some = seeds[start : start + _SEEDS]
        some = some[~taken[some]]
        for i, row in enumerate(near.families(some)):
            if taken[some[i]] or some[i] == focus or (focus >= 0 and row[focus]):
                continue
            row[some[i]] = True
            yield np.flatnonzero(row & free & ~taken)


def _single(hashes: np.ndarray, order: np.ndarray, valid: float, test: float, focus: int) -> HeldOut:
    """Sequences by themselves (equal ones together), where families would leave too little to train on."""
    groups, member = np.unique(hashes, return_inverse=True)
    own = member[focus] if focus >= 0 else -1
    ranked = [g for g in dict.fromkeys(member[order].tolist()) if g != own]
    counts = [max(1, round(share * len(groups))) for share in (valid, test)]
    while sum(counts) > len(ranked) - (own < 0):
        counts[int(np.argmax(counts))] -= 1
    first, second = ranked[: counts[0]], ranked[counts[0] : sum(counts)]
    held = np.isin(member, first), np.isin(member, second)
    train = np.flatnonzero(~held[0] & ~held[1])
    return HeldOut(train, np.flatnonzero(held[0]), np.flatnonzero(held[1]), alike=True)
