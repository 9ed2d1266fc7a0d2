"""Fidelity of a table's columns and pairs of columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from headwater.errors import DataError

__all__ = [
    "Column",
    "column_similarity",
    "contingency_similarity",
    "correlation_similarity",
    "ks_complement",
    "pair_similarities",
    "total_variation_complement",
]

_BINS = 10


class Column(NamedTuple):
    """A column as the metrics see it: numbers, or codes 0..len(classes)-1; NaN is missing in both."""

    name: str
    kind: Literal["number", "category"]
    classes: tuple[str, ...] = ()


def ks_complement(real: Float[np.ndarray, " n"], fake: Float[np.ndarray, " m"]) -> float:
    r"""One minus the Kolmogorov-Smirnov distance of two columns of numbers.

    .. math:: 1 - \sup_t |F_n(t) - G_m(t)|

    Missing values count as one more value below all others, so a wrong share of
    them lowers the figure.

    >>> ks_complement(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.5
    """
    a, b = (np.sort(np.where(np.isnan(c), -np.inf, c)) for c in (real, fake))
    at = np.concatenate([a, b])
    gap = np.searchsorted(a, at, side="right") / len(a) - np.searchsorted(b, at, side="right") / len(b)
    return float(1.0 - np.abs(gap).max())


def total_variation_complement(real: Float[np.ndarray, " n"], fake: Float[np.ndarray, " m"]) -> float:
    r"""One minus the total variation distance of two columns of categories, missing being one of them.

    .. math:: 1 - \tfrac12 \sum_c |p_c - q_c|

    >>> total_variation_complement(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.0, 1.0]))
    0.75
    """
    return contingency_similarity(real[:, None], fake[:, None])


def contingency_similarity(real: Float[np.ndarray, "n c"], fake: Float[np.ndarray, "m c"]) -> float:
    """One minus the total variation distance of the joint categories of some columns."""
    rows = np.concatenate([real, fake])
    codes = np.where(np.isnan(rows), -1.0, rows)
    _, cell = np.unique(codes, axis=0, return_inverse=True)
    cells = int(cell.max()) + 1
    p = np.bincount(cell[: len(real)], minlength=cells) / len(real)
    q = np.bincount(cell[len(real) :], minlength=cells) / len(fake)
    return float(1.0 - 0.5 * np.abs(p - q).sum())


def _correlation(pair: Float[np.ndarray, "n 2"]) -> float:
    seen = pair[~np.isnan(pair).any(axis=1)]
    if len(seen) < 2:
        return 0.0
    centred = seen - seen.mean(axis=0)
    scale = float(np.sqrt((centred[:, 0] ** 2).sum() * (centred[:, 1] ** 2).sum()))
    return 0.0 if scale == 0.0 else float((centred[:, 0] * centred[:, 1]).sum()) / scale


def correlation_similarity(real: Float[np.ndarray, "n 2"], fake: Float[np.ndarray, "m 2"]) -> float:
    r"""How alike the Pearson correlations of two columns of numbers are.

    .. math:: 1 - \tfrac12 |\rho - \rho'|

    Rows with a missing value are left out; a constant column has correlation 0.
    """
    return 1.0 - abs(_correlation(real) - _correlation(fake)) / 2.0


def _as_bins(
    real: Float[np.ndarray, " n"], fake: Float[np.ndarray, " m"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " m"]]:
    seen = real[~np.isnan(real)]
    edges = np.unique(np.quantile(seen, np.linspace(0, 1, _BINS + 1)[1:-1])) if len(seen) else np.zeros(0)
    a, b = (np.where(np.isnan(c), np.nan, np.searchsorted(edges, c, side="right").astype(float)) for c in (real, fake))
    return a, b


def column_similarity(
    columns: Sequence[Column], real: Float[np.ndarray, "n columns"], fake: Float[np.ndarray, "m columns"]
) -> dict[str, float]:
    """:func:`ks_complement` or :func:`total_variation_complement` of each column, by name.

    Raises:
        DataError: no rows, or a number of columns that differs from the description.
    """
    _check(columns, real, fake)
    measure = {"number": ks_complement, "category": total_variation_complement}
    return {c.name: measure[c.kind](real[:, i], fake[:, i]) for i, c in enumerate(columns)}


def pair_similarities(
    columns: Sequence[Column],
    real: Float[np.ndarray, "n columns"],
    fake: Float[np.ndarray, "m columns"],
    *,
    pairs: int = 2000,
) -> dict[tuple[str, str], float]:
    """Similarity of every pair of columns, the first ``pairs`` of them.

    Two columns of numbers: :func:`correlation_similarity`. Otherwise
    :func:`contingency_similarity`, numbers cut into tenths of the real column first.

    Raises:
        DataError: no rows, or a number of columns that differs from the description.
    """
    _check(columns, real, fake)
    binned = [
        _as_bins(real[:, i], fake[:, i]) if c.kind == "number" else (real[:, i], fake[:, i])
        for i, c in enumerate(columns)
    ]
    found: dict[tuple[str, str], float] = {}
    for i, j in combinations(range(len(columns)), 2):
        if len(found) >= pairs:
            break
        if columns[i].kind == columns[j].kind == "number":
            value = correlation_similarity(real[:, [i, j]], fake[:, [i, j]])
        else:
            p, q = (np.stack([binned[i][side], binned[j][side]], axis=1) for side in (0, 1))
            value = contingency_similarity(p, q)
        found[columns[i].name, columns[j].name] = value
    return found


def _check(
    columns: Sequence[Column], real: Float[np.ndarray, "n columns"], fake: Float[np.ndarray, "m columns"]
) -> None:
    if not len(real) or not len(fake) or real.shape[1] != len(columns) or fake.shape[1] != len(columns):
        raise DataError(
            f"Expected rows of {len(columns)} columns on both sides, got shapes {real.shape} and {fake.shape}."
        )
