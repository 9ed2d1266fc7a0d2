"""Statistics of ranks under a bootstrap: rows are drawn again by weights, so that nothing is sorted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64

__all__ = ["Ranked", "Statistic", "auc", "interval", "mcc", "ndcg", "recall", "spearman", "spearman_of", "weights"]

Counts = Float64[np.ndarray, "draws n"]
Values = Float64[np.ndarray, " draws"]
Statistic = Callable[[Counts], Values]

_AT_ONCE = 2_000_000
_IN_ALL = 100_000_000
_LEAST = 200


@dataclass(frozen=True, eq=False)
class Ranked:
    """Values in order, and the groups of equal ones.

    Args:
        values: In the order of the rows.
    """

    values: Float64[np.ndarray, " n"]
    _last: list[Counts] = field(default_factory=list, init=False)

    @cached_property
    def order(self) -> Int64[np.ndarray, " n"]:
        """Rows by increasing value."""
        return np.argsort(self.values, kind="stable")

    @cached_property
    def sorted(self) -> Float64[np.ndarray, " n"]:
        """Increasing values."""
        return self.values[self.order]

    @cached_property
    def firsts(self) -> Int64[np.ndarray, " groups"]:
        """Where groups of equal values begin in the order."""
        return np.flatnonzero(np.append(True, self.sorted[1:] != self.sorted[:-1]))

    @cached_property
    def group(self) -> Int64[np.ndarray, " n"]:
        """The group of each row."""
        found = np.empty(len(self.values), dtype=np.int64)
        found[self.order] = np.repeat(np.arange(len(self.firsts)), np.diff(np.append(self.firsts, len(self.values))))
        return found

    def mass(self, counts: Counts) -> Float64[np.ndarray, "draws groups"]:
        """The weight of each group; the last answer is kept, since several statistics ask for it."""
        if self._last and self._last[0] is counts:
            return self._last[1]
        found = counts[:, self.order]
        if len(self.firsts) < len(self.values):
            found = np.add.reduceat(found, self.firsts, axis=1)
        self._last[:] = [counts, found]
        return found

    def ranks(self, counts: Counts) -> Counts:
        """Average ranks of the rows among the rows as drawn."""
        mass = self.mass(counts)
        return (np.cumsum(mass, axis=1) - mass / 2)[:, self.group]

    def upper(self, counts: Counts, share: float) -> Counts:
        """1 for rows at or above the quantile 1 - ``share`` of the rows as drawn; strictly above where that is all.

        A quantile between two rows is their mean.
        """
        mass = self.mass(counts)
        below = np.cumsum(mass, axis=1)
        at = (1 - share) * below[:, -1:]
        values = self.sorted[self.firsts]
        low = (below >= at - 1e-9).argmax(axis=1)
        high = np.minimum((below > at + 1e-9).argmax(axis=1), len(values) - 1)
        cut = (values[low] + values[high]) / 2
        least = values[(mass > 0).argmax(axis=1)]
        above = np.where((cut <= least)[:, None], self.values > cut[:, None], self.values >= cut[:, None])
        return above.astype(np.float64)


def weights(n: int, draws: int, *, seed: int, strata: np.ndarray | None = None) -> Iterator[Counts]:
    """How often each row is drawn in each of the bootstrap's samples, a bounded number of samples at a time.

    Above 100,000 rows fewer samples are drawn, but 200: the ends of so narrow an interval need no more.

    Args:
        n: Rows.
        draws: Samples.
        seed: Of the draws.
        strata: Rows of equal value are drawn among themselves.
    """
    random = np.random.default_rng(seed)
    draws = min(draws, max(_LEAST, _IN_ALL // max(n, 1)))
    groups = [np.arange(n)] if strata is None else [np.flatnonzero(strata == value) for value in np.unique(strata)]
    size = max(1, min(draws, _AT_ONCE // max(n, 1)))
    for first in range(0, draws, size):
        some = min(size, draws - first)
        counts = np.zeros((some, n))
        for rows in groups:
            picked = random.integers(len(rows), size=(some, len(rows))) + len(rows) * np.arange(some)[:, None]
            drawn = np.bincount(picked.ravel(), minlength=some * len(rows))
            counts[:, rows] = drawn.reshape(some, len(rows))
        yield counts


def interval(values: Values, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval; samples in which the statistic does not exist are left out."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _correlation(a: Counts, b: Counts, counts: Counts) -> Values:
    total = counts.sum(axis=1, keepdims=True)
    a, b = a - (a * counts).sum(axis=1, keepdims=True) / total, b - (b * counts).sum(axis=1, keepdims=True) / total
    spread = (a * a * counts).sum(axis=1) * (b * b * counts).sum(axis=1)
    return np.where(spread > 0, (a * b * counts).sum(axis=1) / np.sqrt(np.where(spread > 0, spread, 1)), np.nan)


def spearman(a: Ranked, b: Ranked) -> Statistic:
    """Pearson's correlation of average ranks."""
    return lambda counts: _correlation(a.ranks(counts), b.ranks(counts), counts)


def spearman_of(a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " n"]) -> float:
    """Spearman's correlation of two columns, ties by average ranks; NaN where one is constant.

    >>> spearman_of(np.array([1.0, 2.0, 2.0]), np.array([3.0, 9.0, 9.0]))
    1.0
    """
    return round(float(spearman(Ranked(a), Ranked(b))(np.ones((1, len(a))))[0]), 12)


def auc(score: Ranked, positive: Float64[np.ndarray, " n"]) -> Statistic:
    """The chance that a row with ``positive`` 1 scores higher than one with 0, ties half."""

    def of(counts: Counts) -> Values:
        up, down = score.mass(counts * positive), score.mass(counts * (1 - positive))
        wins = (up * (np.cumsum(down, axis=1) - down / 2)).sum(axis=1)
        pairs = up.sum(axis=1) * down.sum(axis=1)
        return np.where(pairs > 0, wins / np.where(pairs > 0, pairs, 1), np.nan)

    return of


def mcc(score: Ranked, measured: Ranked) -> Statistic:
    """Matthews' correlation of being in the upper half of both."""
    return lambda counts: _correlation(score.upper(counts, 0.5), measured.upper(counts, 0.5), counts)


def recall(score: Ranked, measured: Ranked, share: float) -> Statistic:
    """Which part of the best ``share`` by measurement is among the best ``share`` by score."""

    def of(counts: Counts) -> Values:
        true = measured.upper(counts, share) * counts
        return (score.upper(counts, share) * true).sum(axis=1) / true.sum(axis=1)

    return of


def ndcg(score: Ranked, measured: Ranked, share: float) -> Statistic:
    r"""Discounted gain of the best ``share`` by score, over that of the best by measurement.

    .. math:: \sum_{r \le k} g_{(r)} / \log_2(r + 1), \quad k = \lfloor \text{share} \cdot n \rfloor

    with gains ``g`` the measurements scaled to 0 .. 1; equal scores share their places.
    """
    n = len(score.values)
    k = max(1, int(share * n + 1e-9))
    table = np.append(0.0, np.cumsum(np.where(np.arange(n) < k, 1 / np.log2(np.arange(n) + 2.0), 0.0)))

    def gained(by: Ranked, gains: Counts, counts: Counts) -> Values:
        mass, whole = by.mass(counts), by.mass(gains * counts)
        ahead = n - np.cumsum(mass, axis=1)
        places = table[(ahead + mass).astype(np.int64)] - table[ahead.astype(np.int64)]
        return (whole / np.where(mass > 0, mass, 1) * places).sum(axis=1)

    def of(counts: Counts) -> Values:
        drawn = counts > 0
        low = np.where(drawn, measured.values, np.inf).min(axis=1, keepdims=True)
        high = np.where(drawn, measured.values, -np.inf).max(axis=1, keepdims=True)
        gains = (measured.values - low) / np.where(high > low, high - low, np.nan)
        return gained(score, gains, counts) / gained(measured, gains, counts)

    return of
