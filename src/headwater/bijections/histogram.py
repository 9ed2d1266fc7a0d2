"""A histogram with bins where the data ask for them, by merging many narrow ones."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

__all__ = ["adaptive_histogram"]

_TINY = 1e-300  # the logarithm of an empty bin, which its mass of zero takes away


def adaptive_histogram(
    mass: Float[np.ndarray, " cells"], width: Float[np.ndarray, " cells"], bins: int, least: float
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Neighbouring cells merged, or halved, into exactly ``bins`` bins none of which is narrower than ``least``.

    The pair whose union costs the histogram the least log-likelihood, ``Σ m log(m / w)``, is merged, as long as
    there are too many bins, a bin is too narrow, or the two numbers that a bin takes cost more than it gains by the
    Bayesian information criterion. Then the bins of most mass are halved, which changes no density.

    Estimating the Dimension of a Model (Schwarz, 1978), https://doi.org/10.1214/aos/1176344136.

    Args:
        mass: Number of data in each cell.
        width: Width of each cell; ``bins * least`` must not exceed their sum.
        bins: Bins wanted.
        least: Least width.

    Returns:
        Mass and width of each bin.

    >>> mass, width = adaptive_histogram(np.array([1.0, 1.0, 90.0, 92.0]), np.ones(4), 2, 1.0)
    >>> mass.tolist(), width.tolist()
    ([2.0, 182.0], [2.0, 2.0])
    """
    assert bins * least <= width.sum() * (1 + 1e-9), "so many bins of that width do not fit"
    mass, worth = mass.astype(float), math.log(mass.sum() + 1)
    while len(mass) > 1:
        loss = _score(mass[1:], width[1:]) + _score(mass[:-1], width[:-1])
        loss = loss - _score(mass[1:] + mass[:-1], width[1:] + width[:-1])
        narrow = width < least
        if len(mass) <= bins and loss.min() > worth:
            if not narrow.any():
                break
            loss = np.where(narrow[1:] | narrow[:-1], loss, np.inf)
        mass, width = (_merged(values, int(loss.argmin())) for values in (mass, width))
    while len(mass) < bins:
        heaviest = int(np.where(width >= 2 * least, mass, -1.0).argmax())
        mass, width = (_halved(values, heaviest) for values in (mass, width))
    return mass, width


def _score(mass: np.ndarray, width: np.ndarray) -> np.ndarray:
    return np.asarray(mass * np.log(np.maximum(mass, _TINY) / width))


def _merged(values: np.ndarray, first: int) -> np.ndarray:
    return np.concatenate([values[:first], [values[first] + values[first + 1]], values[first + 2 :]])


def _halved(values: np.ndarray, place: int) -> np.ndarray:
    return np.concatenate([values[:place], [values[place] / 2] * 2, values[place + 1 :]])
