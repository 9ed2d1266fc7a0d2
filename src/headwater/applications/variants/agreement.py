"""How well scores agree with measurements and with clinical labels, each figure with its bootstrap interval."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from headwater.applications.variants.resampling import (
    Ranked,
    Statistic,
    auc,
    interval,
    mcc,
    ndcg,
    recall,
    spearman,
    spearman_of,
    weights,
)
from headwater.errors import DataError
from headwater.evaluation.text import figure, grid

__all__ = ["Agreement", "agreement_table", "agreement_with_assay", "agreement_with_labels", "between", "difference"]

LEAST = 10
"""Measured variants that any figure needs."""

LEAST_LABELS = 5
"""Labels of each kind that an area under the curve needs."""

_BEST = 0.1


class Agreement(NamedTuple):
    """One figure.

    Args:
        name: ``Spearman``, ``NDCG``, ``MCC``, ``top-10 % recall`` or ``AUC``.
        value: None where it is not given.
        low: Lower end of the 95 % interval.
        high: Its upper end.
        n: Variants it is of.
        note: Why it is not given, or what to know.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    note: str = ""

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return self.note
        return f"{self.name} {figure(self.value)} [{figure(self.low)}, {figure(self.high)}], n = {self.n}"


def agreement_with_assay(
    score: Float64[np.ndarray, " n"], measured: Float64[np.ndarray, " n"], *, draws: int = 1000, seed: int = 0
) -> tuple[Agreement, ...]:
    """Spearman, NDCG of the best tenth, MCC of the upper halves, and recall of the best tenth among the best tenth.

    Intervals are percentiles over variants drawn anew; ties have average ranks in every sample.

    Args:
        score: Higher is better tolerated.
        measured: Higher is fitter; turn an assay round that runs the other way.
        draws: Samples of the bootstrap.
        seed: Of the draws.

    Raises:
        DataError: a figure that is not finite.
    """
    _finite(score, measured)
    names = ("Spearman", "NDCG", "MCC", "top-10 % recall")
    n = len(score)
    reason = f"{n} measured variants, {LEAST} are needed" if n < LEAST else ""
    for what, values in (("scores", score), ("measurements", measured)):
        if not reason and values.min() == values.max():
            reason = f"all {n} {what} are equal"
    if reason:
        return tuple(Agreement(name, None, None, None, n, f"{name} not given: {reason}") for name in names)
    a, b = Ranked(score), Ranked(measured)
    statistics = (spearman(a, b), ndcg(a, b, _BEST), mcc(a, b), recall(a, b, _BEST))
    return _resampled(dict(zip(names, statistics, strict=True)), n, draws=draws, seed=seed)


def agreement_with_labels(
    score: Float64[np.ndarray, " n"], pathogenic: Bool[np.ndarray, " n"], *, draws: int = 1000, seed: int = 0
) -> Agreement:
    """The chance that a benign variant of one protein scores higher than a pathogenic one, ties half.

    Of one protein only: pooled over genes, such an area mostly tells which genes are sick. Samples keep the number
    of labels of each kind.

    Raises:
        DataError: a score that is not finite.
    """
    _finite(score, score)
    bad, good = int(pathogenic.sum()), int((~pathogenic).sum())
    short = [f"{k} {word} labels" for k, word in ((good, "benign"), (bad, "pathogenic")) if k < LEAST_LABELS]
    if short:
        note = f"AUC not given: {' and '.join(short)}, {LEAST_LABELS} of each kind are needed"
        return Agreement("AUC", None, None, None, len(score), note.replace(" 1 benign labels", " 1 benign label"))
    statistic = auc(Ranked(score), (~pathogenic).astype(np.float64))
    found = _resampled({"AUC": statistic}, len(score), draws=draws, seed=seed, strata=pathogenic)[0]
    return found._replace(note=f"{good} benign, {bad} pathogenic")


def between(a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " n"]) -> float:
    """Spearman's correlation of two members' scores, over variants that both score; NaN below three of them.

    >>> between(np.array([1.0, 2.0, 3.0, np.nan]), np.array([9.0, 8.0, 7.0, 0.0]))
    -1.0
    """
    both = np.isfinite(a) & np.isfinite(b)
    return spearman_of(a[both], b[both]) if both.sum() > 2 else float("nan")


def difference(
    first: Float64[np.ndarray, " n"],
    second: Float64[np.ndarray, " n"],
    measured: Float64[np.ndarray, " n"],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Agreement:
    """How much higher the first's Spearman is than the second's, both on the same samples of variants.

    Its interval is narrower than what the two intervals suggest; above zero the first agrees better.

    Raises:
        DataError: a figure that is not finite.
    """
    _finite(first, measured)
    _finite(second, measured)
    name, n = "Spearman, difference", len(measured)
    constant = any(values.min() == values.max() for values in (first, second, measured)) if n else True
    if n < LEAST or constant:
        reason = "a column is constant" if n >= LEAST else f"{n} measured variants, {LEAST} are needed"
        return Agreement(name, None, None, None, n, f"{name} not given: {reason}")
    target = Ranked(measured)
    one, two = spearman(Ranked(first), target), spearman(Ranked(second), target)
    return _resampled({name: lambda counts: one(counts) - two(counts)}, n, draws=draws, seed=seed)[0]


def agreement_table(found: dict[str, tuple[Agreement, ...]]) -> str:
    """Models in rows, figures in columns with their intervals; reasons below."""
    names = list(dict.fromkeys(agreement.name for row in found.values() for agreement in row))
    rows, notes = [["", *names]], []
    for model, row in found.items():
        cells = {agreement.name: agreement for agreement in row}
        rows.append([model, *(_cell(cells.get(name)) for name in names)])
        notes += [agreement.note for agreement in row if agreement.value is None]
    return "\n".join([grid(rows, right=range(1, len(names) + 1)), *dict.fromkeys(notes)])


def _cell(found: Agreement | None) -> str:
    if found is None or found.value is None or found.low is None or found.high is None:
        return "-"
    return f"{figure(found.value)} [{figure(found.low)}, {figure(found.high)}]"


def _resampled(
    statistics: dict[str, Statistic], n: int, *, draws: int, seed: int, strata: np.ndarray | None = None
) -> tuple[Agreement, ...]:
    once = np.ones((1, n))
    values = {name: float(statistic(once)[0]) for name, statistic in statistics.items()}
    samples: dict[str, list[np.ndarray]] = {name: [] for name in statistics}
    for counts in weights(n, draws, seed=seed, strata=strata):
        for name, statistic in statistics.items():
            samples[name].append(statistic(counts))
    ends = {name: interval(np.concatenate(some)) for name, some in samples.items()}
    return tuple(Agreement(name, values[name], *ends[name], n) for name in statistics)


def _finite(a: Float64[np.ndarray, " n"], b: Float64[np.ndarray, " n"]) -> None:
    bad = int((~(np.isfinite(a) & np.isfinite(b))).sum())
    if bad:
        raise DataError(
            f"Expected a score and a measurement for every variant, {bad} of {len(a)} lack one.",
            hint="Match the table with the assay first: it counts what it leaves out.",
        )
