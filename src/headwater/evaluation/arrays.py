"""What every metric does first: take arrays or tensors as float64 rows, and say so when it cannot."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from headwater.errors import DataError

__all__ = ["Features", "as_features", "as_pair"]

Features = np.ndarray | Tensor
"""Rows of features, one event each: ``(n, d)`` or ``(n, *shape)``, any numeric type."""


def as_features(x: Features, *, name: str = "features", least: int = 1) -> Float[np.ndarray, "n d"]:
    """Rows as a float64 matrix; anything beyond the first axis is flattened.

    >>> as_features(np.zeros((2, 1, 3))).shape
    (2, 3)

    Raises:
        DataError: fewer than ``least`` rows, no columns, or a number that is not finite.
    """
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
    if array.ndim < 1 or len(array) < least:
        raise DataError(
            f"{name}: expected at least {least} rows, got an array of shape {array.shape}.",
            hint="Hold out more rows (data.test=0.2) or evaluate with a larger n.",
        )
    matrix = np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float64)
    if matrix.shape[1] == 0:
        raise DataError(f"{name}: the rows are empty, shape {array.shape}.")
    bad = int((~np.isfinite(matrix).all(axis=1)).sum())
    if bad:
        raise DataError(
            f"{name}: {bad} of {len(matrix)} rows hold numbers that are not finite.",
            hint="Look at the samples first: headwater sample RUN. A lower optimizer.lr often mends the model.",
        )
    return matrix


def as_pair(x: Features, y: Features, *, least: int = 2) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]:
    """Two sets of rows with the same number of columns.

    Raises:
        DataError: as :func:`as_features`, or the two differ in columns.
    """
    a, b = as_features(x, name="first set", least=least), as_features(y, name="second set", least=least)
    if a.shape[1] != b.shape[1]:
        raise DataError(f"Expected the same number of columns on both sides, got {a.shape[1]} and {b.shape[1]}.")
    return a, b
