"""The Frechet distance between two sets of features, in float64 and never complex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headwater.evaluation.arrays import Features, as_features, as_pair

__all__ = ["Moments", "frechet_distance", "frechet_of_moments"]


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, mean and centred scatter of rows, gathered in any number of batches.

    Batches are joined by the pairwise update of Chan, Golub and LeVeque (1983), so
    the result does not depend on the size of the batches beyond round-off.

    >>> Moments.of(np.array([[0.0], [2.0]])).covariance.tolist()
    [[2.0]]
    """

    n: int
    mean: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]

    @staticmethod
    def of(x: Features) -> Moments:
        """The moments of one batch of rows ``(n, d)``."""
        rows = as_features(x)
        mean = rows.mean(axis=0)
        centred = rows - mean
        return Moments(len(rows), mean, centred.T @ centred)

    def joined(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        n = self.n + other.n
        gap = other.mean - self.mean
        scatter = self.scatter + other.scatter + np.outer(gap, gap) * (self.n * other.n / n)
        return Moments(n, self.mean + gap * (other.n / n), scatter)

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """The unbiased covariance, ``scatter / (n - 1)``."""
        return self.scatter / max(1, self.n - 1)


def _square_root(matrix: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T


def frechet_of_moments(a: Moments, b: Moments) -> float:
    r"""Squared 2-Wasserstein distance between the Gaussians with these moments.

    .. math:: d^2 = |m_a - m_b|^2 + \mathrm{tr} C_a + \mathrm{tr} C_b
              - 2\, \mathrm{tr} (C_a^{1/2} C_b C_a^{1/2})^{1/2}

    The last trace is the sum of the square roots of the eigenvalues of a symmetric
    matrix, so nothing can turn complex, even where covariances are singular
    because there are fewer rows than features.

    Reference:
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium (Heusel, Ramsauer, Unterthiner, Nessler & Hochreiter, 2017),
        https://arxiv.org/abs/1706.08500; the distance: Dowson & Landau (1982),
        https://doi.org/10.1016/0047-259X(82)90077-X.
    """
    root = _square_root(a.covariance)
    product = root @ b.covariance @ root
    eigenvalues = np.linalg.eigvalsh((product + product.T) / 2)
    overlap = float(np.sqrt(np.clip(eigenvalues, 0.0, None)).sum())
    gap = a.mean - b.mean
    squared = float(gap @ gap) + float(np.trace(a.covariance) + np.trace(b.covariance)) - 2.0 * overlap
    return max(0.0, squared)


def frechet_distance(x: Features, y: Features) -> float:
    """The Frechet distance of two sets of features, ``(n, d)`` and ``(m, d)``; see :func:`frechet_of_moments`.

    It is biased upwards when rows are few (about ``tr(C) / n`` and more where
    ``n < d``), so it is only ever read beside the distance between two real sets of
    the same sizes. It is called FID only with the Inception network of that paper.

    Raises:
        DataError: fewer than two rows, columns that differ, or numbers that are not finite.

    >>> x = np.array([[0.0], [2.0]])
    >>> round(frechet_distance(x, x + 3.0), 9)
    9.0
    """
    a, b = as_pair(x, y)
    return frechet_of_moments(Moments.of(a), Moments.of(b))
