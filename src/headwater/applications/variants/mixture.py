"""A mixture of two Gaussians on a line, fitted by expectation maximization without chance."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64
from pydantic import Field

from headwater.config import Config
from headwater.errors import DataError

__all__ = ["Component", "Mixture", "fit_mixture"]

LEAST = 40
_BEGINNINGS = (0.15, 0.3, 0.5, 0.7, 0.85)
_FIRST, _STEPS = 60, 5_000
_TOLERANCE = 1e-11
_POINTS = 8_192
_FLOOR = 1e-4


class Component(Config):
    """One Gaussian of a mixture."""

    weight: float = Field(gt=0, lt=1, description="share of all scores")
    mean: float
    variance: float = Field(gt=0)


class Mixture(Config):
    r"""Two groups of scores, the lower one called pathogenic.

    .. math:: p(s) = \sum_{c} w_c \mathcal N(s; \mu_c, \sigma_c^2), \qquad
        P(\text{pathogenic} | s) = w_p \mathcal N(s; \mu_p, \sigma_p^2) / p(s)
    """

    pathogenic: Component
    benign: Component
    gain: float = Field(0.0, description="BIC of one Gaussian less that of two; below zero there are no two groups")

    @property
    def separation(self) -> float:
        r"""Ashman's :math:`D = |\mu_1 - \mu_2| / \sqrt{(\sigma_1^2 + \sigma_2^2) / 2}`; two humps need about 2."""
        p, b = self.pathogenic, self.benign
        return abs(p.mean - b.mean) / math.sqrt((p.variance + b.variance) / 2)

    def probability(self, score: Float64[np.ndarray, " n"], *, monotone: bool = True) -> Float64[np.ndarray, " n"]:
        r"""The chance that a score is of the pathogenic group; NaN stays NaN.

        The log-odds are a parabola where the variances differ, so that beyond its turning point a better score would
        count as worse. ``monotone`` keeps the value of that point there; without, it is EVE's own formula.
        """
        p, b = self.pathogenic, self.benign
        x = score
        curvature = 1 / b.variance - 1 / p.variance
        if monotone and curvature != 0:
            turn = (b.mean / b.variance - p.mean / p.variance) / curvature
            x = np.minimum(x, turn) if curvature > 0 else np.maximum(x, turn)
        odds = _log_density(x, b) - _log_density(x, p)
        return 1 / (1 + np.exp(np.clip(odds, -700, 700)))


def fit_mixture(scores: Float64[np.ndarray, " n"], *, start: Mixture | None = None) -> Mixture:
    """Fit by expectation maximization, from five splits at quantiles or from ``start``.

    More than 8,192 scores are first averaged in that many groups of neighbours of equal number: the same mixture to
    many digits in bounded time. No variance goes below a ten-thousandth of that of all scores.

    Args:
        scores: Of variants, the wild type's own not among them; NaN is refused.
        start: A mixture to begin at (of many proteins, for one of them).

    Raises:
        DataError: fewer than forty scores, a score that is not finite, or all scores equal.
    """
    if len(scores) < LEAST:
        raise DataError(
            f"Expected at least {LEAST} scored variants to find two groups among them, got {len(scores)}.",
            hint="Score all single substitutions, or classify with the parameters of many proteins.",
        )
    if not np.isfinite(scores).all():
        raise DataError("Expected finite scores.", hint="Leave out variants without a score.")
    spread = float(scores.std())
    if spread <= 1e-12 * max(1.0, float(np.abs(scores).max())):
        raise DataError(
            f"All {len(scores)} scores are {scores[0]:g}: there are no two groups among them.",
            hint="The model tells no variant from another; train it longer, or on a deeper alignment.",
        )
    centre = float(scores.mean())
    x, counts = _grouped((np.sort(scores) - centre) / spread)
    if start is not None:
        beginnings = [_standard(start, centre, spread)]
    else:
        beginnings = [_split(x, counts, at) for at in _BEGINNINGS]
    best = max((_climb(x, counts, *begun, steps=_FIRST) for begun in beginnings), key=lambda fit: fit[3])
    weights, means, variances, likelihood = _climb(x, counts, *best[:3], steps=_STEPS)
    n = len(scores)
    alone = -0.5 * n * (math.log(2 * math.pi) + 1)  # of one Gaussian, in units of the spread
    gain = -2 * alone + 2 * math.log(n) - (-2 * n * likelihood + 5 * math.log(n))
    parts = [
        Component(weight=float(weights[i]), mean=centre + spread * float(means[i]), variance=spread**2 * float(v))
        for i, v in enumerate(variances)
    ]
    low, high = sorted(parts, key=lambda part: part.mean)
    return Mixture(pathogenic=low, benign=high, gain=gain)


_Fit = tuple[Float64[np.ndarray, "2"], Float64[np.ndarray, "2"], Float64[np.ndarray, "2"]]


def _climb(
    x: Float64[np.ndarray, " n"],
    counts: Float64[np.ndarray, " n"],
    weights: Float64[np.ndarray, "2"],
    means: Float64[np.ndarray, "2"],
    variances: Float64[np.ndarray, "2"],
    *,
    steps: int,
) -> tuple[Float64[np.ndarray, "2"], Float64[np.ndarray, "2"], Float64[np.ndarray, "2"], float]:
    total, before = counts.sum(), -math.inf
    for _ in range(steps):
        joint = np.log(weights)[:, None] - 0.5 * (
            np.log(2 * math.pi * variances)[:, None] + (x - means[:, None]) ** 2 / variances[:, None]
        )
        whole = np.logaddexp(joint[0], joint[1])
        likelihood = float(whole @ counts / total)
        if likelihood - before < _TOLERANCE:
            break
        before = likelihood
        share = np.exp(joint - whole) * counts
        mass = np.maximum(share.sum(axis=1), 1e-3)  # an emptied group stays a group of next to nothing
        weights = mass / mass.sum()
        means = share @ x / mass
        variances = np.maximum((share * (x - means[:, None]) ** 2).sum(axis=1) / mass, _FLOOR)
    return weights, means, variances, likelihood


def _split(x: Float64[np.ndarray, " n"], counts: Float64[np.ndarray, " n"], at: float) -> _Fit:
    """Two groups: those below a quantile and those above."""
    cut = int(np.clip(np.searchsorted(np.cumsum(counts), at * counts.sum()), 1, len(x) - 1))
    halves = [(x[:cut], counts[:cut]), (x[cut:], counts[cut:])]
    means = np.array([np.average(v, weights=c) for v, c in halves])
    variances = np.array([np.average((v - m) ** 2, weights=c) for (v, c), m in zip(halves, means, strict=True)])
    return np.array([at, 1 - at]), means, np.maximum(variances, _FLOOR)


def _standard(start: Mixture, centre: float, spread: float) -> _Fit:
    parts = (start.pathogenic, start.benign)
    return (
        np.array([part.weight for part in parts]),
        np.array([(part.mean - centre) / spread for part in parts]),
        np.array([max(part.variance / spread**2, _FLOOR) for part in parts]),
    )


def _grouped(x: Float64[np.ndarray, " n"]) -> tuple[Float64[np.ndarray, " m"], Float64[np.ndarray, " m"]]:
    if len(x) <= _POINTS:
        return x, np.ones(len(x))
    edges = np.linspace(0, len(x), _POINTS + 1).astype(np.int64)[:-1]
    counts = np.diff(np.append(edges, len(x))).astype(np.float64)
    return np.add.reduceat(x, edges) / counts, counts


def _log_density(x: Float64[np.ndarray, " n"], part: Component) -> Float64[np.ndarray, " n"]:
    return math.log(part.weight) - 0.5 * (math.log(2 * math.pi * part.variance) + (x - part.mean) ** 2 / part.variance)
