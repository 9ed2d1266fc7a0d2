"""Euclidean distances and nearest neighbours in chunks, so that memory stays flat at any number of rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from headwater.errors import DataError
from headwater.evaluation.arrays import Features, as_features, as_pair

__all__ = ["Neighbours", "distance_chunks", "nearest"]

_CHUNK_BYTES = 64 * 2**20
_ROUND_OFF = 1e-13


class Neighbours(NamedTuple):
    """Distances to the ``k`` nearest reference rows, ascending, and which rows they are."""

    distance: Float[np.ndarray, "n k"]
    row: Int[np.ndarray, "n k"]


def distance_chunks(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]
) -> Iterator[tuple[slice, Float[np.ndarray, "rows m"]]]:
    """Squared distances ``|x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 x_i . y_j``, some rows of ``x`` at a time.

    Both sides are centred on the mean of ``y`` first, which keeps the cancellation
    harmless; what is below the round-off of the two norms is an exact zero.
    """
    centre = y.mean(axis=0)
    x, y = x - centre, y - centre
    xx, yy = np.einsum("ij,ij->i", x, x), np.einsum("ij,ij->i", y, y)
    step = max(1, _CHUNK_BYTES // (8 * max(1, len(y))))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        scale = xx[rows, None] + yy[None, :]
        squared = scale - 2.0 * (x[rows] @ y.T)
        squared[squared < _ROUND_OFF * x.shape[1] * scale] = 0.0
        yield rows, squared


def nearest(x: Features, reference: Features, k: int = 1, *, exclude_self: bool = False) -> Neighbours:
    """The ``k`` nearest rows of ``reference`` to each row of ``x``.

    Args:
        x: Rows to look from, ``(n, d)``.
        reference: Rows to look in, ``(m, d)``.
        k: How many.
        exclude_self: ``x`` *is* ``reference``: a row is no neighbour of itself.

    Raises:
        DataError: fewer than ``k`` reference rows, or rows that do not fit together.

    >>> found = nearest(np.array([[0.9]]), np.array([[0.0], [1.0], [3.0]]), k=2)
    >>> found.row.tolist()
    [[1, 0]]
    """
    a = as_features(x)
    a, b = (a, a) if exclude_self else as_pair(a, reference, least=1)
    if len(b) - exclude_self < k:
        raise DataError(
            f"Expected at least {k + exclude_self} rows to find {k} nearest neighbours, got {len(b)}.",
            hint="Evaluate with more rows, or with a smaller k.",
        )
    distance, index = np.empty((len(a), k)), np.empty((len(a), k), dtype=np.int64)
    for rows, squared in distance_chunks(a, b):
        here = np.arange(squared.shape[0])
        if exclude_self:
            squared[here, here + rows.start] = np.inf
        chosen = np.argpartition(squared, k - 1, axis=1)[:, :k] if k < len(b) else np.argsort(squared, axis=1)[:, :k]
        order = np.argsort(squared[here[:, None], chosen], axis=1, kind="stable")
        chosen = chosen[here[:, None], order]
        distance[rows], index[rows] = np.sqrt(squared[here[:, None], chosen]), chosen
    return Neighbours(distance, index)
