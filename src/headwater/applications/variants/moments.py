"""Running moments of scores: means of draws that come in rounds, and their standard errors, without keeping a draw."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64

__all__ = ["Moments"]


class Moments:
    """Mean and standard error of ``n`` values that are each the mean of draws, fed round by round.

    With counts :math:`a, b`, means :math:`m_a, m_b` and sums of squared deviations :math:`M_a, M_b`

    .. math:: m = m_a + (m_b - m_a) \\tfrac{b}{a + b}, \\qquad M = M_a + M_b + (m_b - m_a)^2 \\tfrac{a b}{a + b}

    and the standard error is :math:`\\sqrt{M / (k (k - 1))}` after k draws.

    Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (Chan, Golub & LeVeque, 1982),
    https://doi.org/10.1007/978-3-642-51461-6_3.

    >>> moments = Moments(1)
    >>> for value in (1.0, 2.0, 6.0):
    ...     moments.add(np.array([True]), np.array([value]), np.array([0.0]), 1)
    >>> float(moments.mean[0]), round(float(moments.stderr[0]), 4)
    (3.0, 1.5275)
    """

    def __init__(self, n: int) -> None:
        self.draws = np.zeros(n, dtype=np.int64)
        self.mean = np.zeros(n)
        self._squares = np.zeros(n)

    def add(
        self,
        where: Bool[np.ndarray, " n"],
        mean: Float64[np.ndarray, " some"],
        stderr: Float64[np.ndarray, " some"],
        draws: int,
    ) -> None:
        """One round of ``draws`` draws for the values at ``where``: their mean and its standard error."""
        before = self.draws[where].astype(np.float64)
        difference = mean - self.mean[where]
        share = draws / (before + draws)
        self._squares[where] += stderr**2 * draws * (draws - 1) + difference**2 * before * share
        self.mean[where] += difference * share
        self.draws[where] += draws

    @property
    def stderr(self) -> Float64[np.ndarray, " n"]:
        """Standard error of each mean; infinite before the second draw."""
        k = self.draws.astype(np.float64)
        return np.where(k > 1, np.sqrt(self._squares / np.maximum(k * (k - 1), 1.0)), np.inf)
