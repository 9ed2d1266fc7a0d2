"""The order of training rows: a pure function of (seed, step), so that resuming needs no replay."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

__all__ = ["DataOrder", "permutation", "resampled"]

_CACHED_EPOCHS = 4


def permutation(n: int, seed: int, epoch: int) -> Int64[np.ndarray, " n"]:
    """A uniform permutation of ``range(n)`` that depends on ``(n, seed, epoch)`` alone.

    The ranks of ``n`` raw 64-bit numbers: NumPy promises the bit stream of PCG64
    across versions, but not the algorithm of ``Generator.permutation``.

    >>> sorted(permutation(4, seed=0, epoch=1).tolist())
    [0, 1, 2, 3]
    """
    raw = np.random.PCG64(np.random.SeedSequence([seed, epoch])).random_raw(n)
    return np.argsort(raw, kind="stable")


def resampled(
    rows: Int64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"], count: int, offset: float = 0.5
) -> Int64[np.ndarray, " count"]:
    """``count`` rows in proportion to their weights, by systematic resampling: row i comes
    ``floor(C_i + u) - floor(C_(i-1) + u)`` times, ``C`` the cumulative weights scaled to ``count`` and ``u`` the
    offset in [0, 1), which is its expected number rounded down or up.

    >>> resampled(np.array([5, 6, 7]), np.array([1.0, 2.0, 1.0]), 4).tolist()
    [5, 6, 6, 7]
    """
    cumulative = np.cumsum(weights)
    places = np.floor(cumulative * (count / cumulative[-1]) + offset).astype(np.int64)
    places[-1] = count
    return np.repeat(rows, np.diff(places, prepend=0))


class DataOrder:
    """Which rows step ``t`` sees: positions ``t B .. (t+1) B - 1`` of the endless row of shuffled epochs.

    The last batch of an epoch goes on into the next one, so that shapes stay
    static; each row is seen exactly once per epoch. Weighted rows are drawn anew for each epoch,
    which is as long as the sum of their weights, in proportion to them.

    Args:
        rows: Row numbers to train on.
        batch_size: Events per step over all processes, B.
        seed: Another seed, another order.
        weights: Of the rows; None where all count alike.

    >>> order = DataOrder(np.array([10, 11, 12]), batch_size=2, seed=0)
    >>> sorted(np.concatenate([order.rows(0), order.rows(1)[:1]]).tolist())
    [10, 11, 12]
    """

    def __init__(
        self,
        rows: Int64[np.ndarray, " n"],
        batch_size: int,
        seed: int,
        weights: Float64[np.ndarray, " n"] | None = None,
    ) -> None:
        assert len(rows) > 0
        self._rows, self._weights = rows, weights
        self._seed = seed
        self.epoch = len(rows) if weights is None else max(1, round(float(weights.sum())))
        self._epochs: dict[int, Int64[np.ndarray, " n"]] = {}
        self.batch_size = batch_size

    def positions(self, step: int) -> Int64[np.ndarray, " batch"]:
        """Positions of a step's events in the endless row: unique numbers, also where a row comes twice."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size)

    def rows(self, step: int) -> Int64[np.ndarray, " batch"]:
        """Row numbers of a step's events."""
        epochs, places = np.divmod(self.positions(step), self.epoch)
        chosen = np.empty(self.batch_size, dtype=np.int64)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            inside = epochs == epoch
            chosen[inside] = self._permuted(epoch)[places[inside]]
        return chosen

    def _permuted(self, epoch: int) -> Int64[np.ndarray, " n"]:
        if epoch not in self._epochs:
            while len(self._epochs) >= _CACHED_EPOCHS:
                del self._epochs[min(self._epochs)]
            self._epochs[epoch] = self._drawn(epoch)[permutation(self.epoch, self._seed, epoch)]
        return self._epochs[epoch]

    def _drawn(self, epoch: int) -> Int64[np.ndarray, " epoch"]:
        if self._weights is None:
            return self._rows
        raw = np.random.PCG64(np.random.SeedSequence([self._seed, epoch, 1])).random_raw()
        return resampled(self._rows, self._weights, self.epoch, (int(raw) >> 11) * 2.0**-53)
