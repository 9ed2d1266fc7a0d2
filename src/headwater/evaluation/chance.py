"""Small exact statistics: tails of the binomial and the normal, Wilson intervals, rank sums."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

__all__ = ["binomial_tail", "hypergeometric_tail", "normal_tail", "rank_sum_z", "wilson_interval"]


def normal_tail(z: float) -> float:
    """Probability that a standard normal exceeds ``z``.

    >>> normal_tail(0.0)
    0.5
    """
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def binomial_tail(k: int, n: int, p: float) -> float:
    """Probability of ``k`` or more successes in ``n`` trials of chance ``p``.

    >>> round(binomial_tail(2, 2, 0.5), 12)
    0.25
    """
    if k <= 0:
        return 1.0
    log_p, log_q = math.log(p), math.log1p(-p)
    terms = (_log_choose(n, i) + i * log_p + (n - i) * log_q for i in range(k, n + 1))
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def hypergeometric_tail(k: int, n: int, other_k: int, other_n: int) -> float:
    """Fisher's exact test: the chance of ``k`` or more of all hits falling on the first of two groups.

    The groups have ``n`` and ``other_n`` members, and ``k`` and ``other_k`` hits.

    >>> round(hypergeometric_tail(2, 2, 0, 2), 6)
    0.166667
    """
    hits, everyone = k + other_k, n + other_n
    whole = _log_choose(everyone, hits)
    upper = min(hits, n)
    terms = (
        math.exp(_log_choose(n, i) + _log_choose(other_n, hits - i) - whole)
        for i in range(max(k, hits - other_n), upper + 1)
    )
    return min(1.0, math.fsum(terms))


def wilson_interval(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval for a share of ``k`` in ``n``, 95 % by default; sensible at 0 and at n too.

    Reference:
        Probable Inference, the Law of Succession, and Statistical Inference (Wilson, 1927),
        https://doi.org/10.1080/01621459.1927.10502953.

    >>> low, high = wilson_interval(0, 100)
    >>> low == 0.0 and 0.03 < high < 0.04
    True
    """
    centre = (k + z * z / 2) / (n + z * z)
    reach = z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def rank_sum_z(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]) -> float:
    r"""Mann and Whitney's U, standardized: negative where ``x`` tends to be less than ``y``.

    .. math:: U = \sum_{i,j} 1[x_i > y_j] + \tfrac12 1[x_i = y_j], \quad
              z = (U - nm/2) / \sigma

    with the variance corrected for ties; 0 where all values are tied.
    """
    n, m = len(x), len(y)
    values, inverse, counts = np.unique(np.concatenate([x, y]), return_inverse=True, return_counts=True)
    assert len(values) > 0
    middle_rank = np.cumsum(counts) - (counts - 1) / 2
    u = float(middle_rank[inverse[:n]].sum()) - n * (n + 1) / 2
    total = n + m
    tied = float((counts.astype(np.float64) ** 3 - counts).sum()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - tied)
    return 0.0 if variance <= 0 else (u - n * m / 2) / math.sqrt(variance)
