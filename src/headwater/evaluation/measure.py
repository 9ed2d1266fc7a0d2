"""The figures of generated events against real ones, group by group; each group stands or fails alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64, Shaped

from headwater.errors import DataError
from headwater.evaluation.columns import Column, column_similarity, pair_similarities
from headwater.evaluation.evaluation import Figure
from headwater.evaluation.extractors import Extractor
from headwater.evaluation.frechet import frechet_distance
from headwater.evaluation.kernel import kernel_distance, median_distance
from headwater.evaluation.manifold import manifold_scores
from headwater.evaluation.memorization import Memorization, exact_copies, memorization
from headwater.evaluation.spaces import Space
from headwater.evaluation.two_sample import classifier_two_sample
from headwater.evaluation.utility import Utility, utility

__all__ = ["Sides", "distances", "fidelity", "memory", "recognition", "separability", "usefulness"]

_MEMORY_ROWS = 2000
_TRAIN_ROWS = 50_000
_BOOSTED_FEATURES = 100

Raw = Shaped[np.ndarray, "_ *shape"]
Table = Float[np.ndarray, "_ columns"]


@dataclass(frozen=True, eq=False)
class Sides:
    """Features of generated, held-out and training events; the training ones stand in for a perfect generator."""

    fake: Float[np.ndarray, "n d"]
    held_out: Float[np.ndarray, "m d"]
    train: Float[np.ndarray, "k d"]

    @staticmethod
    def of(extractor: Extractor, fake: Raw, held_out: Raw, train: Raw) -> Sides:
        """Features of raw events; the training events are cut to as many as are generated."""
        return Sides(*(extractor.features(raw) for raw in (fake, held_out, train[: len(fake)])))


def _beside(keys: tuple[str, ...], values: tuple[float, ...], floors: tuple[float, ...], note: str) -> list[Figure]:
    return [Figure(key=k, value=v, floor=f, note=note) for k, v, f in zip(keys, values, floors, strict=True)]


def distances(sides: Sides, *, gaussian: bool, seed: int) -> list[Figure]:
    """Frechet and kernel distance, precision, recall, density and coverage, each beside train against held-out."""
    width = median_distance(sides.train, sides.held_out) if gaussian else None
    kind = "gaussian" if gaussian else "cubic"
    kernels = [
        kernel_distance(side, sides.held_out, kernel="gaussian" if gaussian else "cubic", width=width, seed=seed)
        for side in (sides.fake, sides.train)
    ]
    n, d = sides.fake.shape
    few = f"biased upwards: {n} events for {d} features" if n < 10 * d else ""
    k = min(5, n - 1, len(sides.held_out) - 1)
    return [
        *_beside(
            ("frechet",),
            (frechet_distance(sides.fake, sides.held_out),),
            (frechet_distance(sides.train, sides.held_out),),
            few,
        ),
        Figure(
            key="kernel",
            value=kernels[0].value,
            stderr=kernels[0].stderr,
            floor=kernels[1].value,
            floor_stderr=kernels[1].stderr,
            note=f"{kind} kernel",
        ),
        *_beside(
            ("precision", "recall", "density", "coverage"),
            manifold_scores(sides.held_out, sides.fake, k=k),
            manifold_scores(sides.held_out, sides.train, k=k),
            f"k = {k}",
        ),
    ]


def separability(sides: Sides, *, seed: int) -> list[Figure]:
    """The classifier two-sample test, beside train against held-out."""
    wide = sides.fake.shape[1] > _BOOSTED_FEATURES
    tests = [
        classifier_two_sample(sides.held_out, side, classifier="logistic" if wide else "boosting", seed=seed)
        for side in (sides.fake, sides.train)
    ]
    found, floor = tests
    return [
        Figure(
            key="two_sample",
            value=found.auc,
            stderr=found.stderr,
            floor=floor.auc,
            floor_stderr=floor.stderr,
            note=f"accuracy {found.accuracy:.3f}, {'logistic' if wide else 'boosted trees'}, {found.n} of each",
        )
    ]


def recognition(
    extractor: Extractor, fake: Raw, wanted: Int64[np.ndarray, " n"], held_out: Raw, true: Int64[np.ndarray, " m"]
) -> list[Figure]:
    """Share of generated events in which the classifier sees the label they were made for; floor: held-out events."""
    shares = []
    for raw, labels in ((fake, wanted), (held_out, true)):
        known = labels >= 0
        if not known.any():
            raise DataError("No event has a label to be recognised.")
        shares.append((float((extractor.labels(raw)[known] == labels[known]).mean()), int(known.sum())))
    (value, n), (floor, m) = shares
    return [
        Figure(
            key="recognition",
            value=value,
            stderr=(value * (1 - value) / n) ** 0.5,
            floor=floor,
            floor_stderr=(floor * (1 - floor) / m) ** 0.5,
            note="by a classifier trained on the training labels",
        )
    ]


def memory(space: Space, fake: Raw, held_out: Raw, train: Raw) -> tuple[Memorization, list[Figure]]:
    """Memorization, and its two figures; at most 2,000 generated and held-out events against 50,000 training ones."""
    exact = not np.issubdtype(train.dtype, np.floating)
    whole, train = train, train[:: -(-len(train) // _TRAIN_ROWS)]
    found = memorization(
        space.vectors(train),
        space.vectors(held_out[:_MEMORY_ROWS]),
        space.vectors(fake[:_MEMORY_ROWS]),
        copies=exact_copies(fake[:_MEMORY_ROWS], whole) if exact else None,
        held_out_copies=exact_copies(held_out[:_MEMORY_ROWS], whole) if exact else None,
        space=space.name,
    )
    per = found.n / found.held_out_n
    figures = [
        Figure(key="copies", value=found.copies, floor=found.held_out_copies * per, note=f"of {found.n}"),
    ]
    if found.held_out_median > 0:
        figures.append(
            Figure(
                key="closest",
                value=found.median / found.held_out_median,
                floor=1.0,
                note=f"median distance {found.median:.3g} in {found.space}",
            )
        )
    return found, figures


def fidelity(
    columns: tuple[Column, ...], fake: Table, held_out: Table, train: Table
) -> tuple[list[Figure], dict[str, float], tuple[tuple[str, str, float], ...]]:
    """Column and pair fidelity, that of each column, and the twenty least alike pairs."""
    train = train[: len(fake)]
    single, floor = (column_similarity(columns, held_out, side) for side in (fake, train))
    figures = _beside(("columns",), (_mean(single),), (_mean(floor),), f"worst: {min(single, key=single.__getitem__)}")
    if len(columns) < 2:
        return figures, single, ()
    pairs, pairs_floor = (pair_similarities(columns, held_out, side) for side in (fake, train))
    worst = sorted(pairs, key=pairs.__getitem__)[:20]
    figures += _beside(("pairs",), (_mean(pairs),), (_mean(pairs_floor),), f"worst: {' and '.join(worst[0])}")
    return figures, single, tuple((a, b, pairs[a, b]) for a, b in worst)


def _mean(values: Mapping[Any, float]) -> float:
    return float(np.mean(list(values.values())))


def usefulness(
    columns: tuple[Column, ...], target: str, fake: Table, held_out: Table, train: Table, *, seed: int
) -> tuple[list[Figure], Utility]:
    """Utility of the generated rows for predicting ``target``, beside that of real rows.

    Raises:
        DataError: there is no column ``target``.
    """
    names = [c.name for c in columns]
    if target not in names:
        raise DataError(
            f"There is no column {target!r} to measure utility on.", hint=f"Columns: {', '.join(names[:20])}."
        )
    found = utility(columns, names.index(target), train, fake, held_out, seed=seed)
    key = "f1" if "f1" in found.synthetic else "r2"
    note = f"{key} of {target!r}, boosted trees; other column: trained on real rows"
    return _beside(("utility",), (found.synthetic[key],), (found.real[key],), note), found
