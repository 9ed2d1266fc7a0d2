"""Utility: train on synthetic rows, test on real ones, beside training on real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from headwater.errors import DataError
from headwater.evaluation.columns import Column
from headwater.evaluation.extras import sklearn

__all__ = ["Utility", "utility"]

_MOST_CATEGORIES = 255


class Utility(NamedTuple):
    """Scores on the same real held-out rows of a learner trained on synthetic and on real rows."""

    target: str
    synthetic: dict[str, float]
    real: dict[str, float]
    rows: int


def utility(
    columns: Sequence[Column],
    target: int,
    real: Float[np.ndarray, "n columns"],
    fake: Float[np.ndarray, "m columns"],
    held_out: Float[np.ndarray, "k columns"],
    *,
    seed: int = 0,
) -> Utility:
    """Predict one column from the others with gradient boosted trees.

    The learner is trained twice, on ``fake`` and on as many rows of ``real`` (or fewer
    where there are not so many), and tested on ``held_out``. A category gives ``accuracy``,
    ``f1`` (mean over classes) and, with two classes, ``auc``; a number gives ``r2``. Missing
    values and categories are given as such; rows whose target is missing are left out.

    Raises:
        DataError: the target is missing everywhere, on some side.
        MissingExtraError: scikit-learn is not installed.

    References:
        Modeling Tabular Data using Conditional GAN (Xu, Skoularidou, Cuesta-Infante &
        Veeramachaneni, 2019), https://arxiv.org/abs/1907.00503; the published figures of this
        kind: TabDDPM (Kotelnikov, Baranchuk, Rubachev & Babenko, 2023), https://arxiv.org/abs/2209.15421.
    """
    real = real[np.sort(np.random.default_rng(seed).permutation(len(real))[: len(fake)])]
    sides = [side[~np.isnan(side[:, target])] for side in (fake, real, held_out)]
    if any(len(side) == 0 for side in sides):
        raise DataError(
            f"The target {columns[target].name!r} is missing in all rows of a side; nothing can be learned.",
            hint="Choose another with data.target=NAME.",
        )
    score = _classify if columns[target].kind == "category" else _regress
    synthetic, true = (score(columns, target, side, sides[2], seed) for side in sides[:2])
    return Utility(columns[target].name, synthetic, true, len(sides[1]))


def _parts(
    columns: Sequence[Column], target: int, rows: Float[np.ndarray, "n columns"]
) -> tuple[Float[np.ndarray, "n others"], Float[np.ndarray, " n"]]:
    if len(columns) == 1:
        raise DataError("Utility needs a column to predict from; the table has one column in all.")
    return np.delete(rows, target, axis=1), rows[:, target]


def _categories(columns: Sequence[Column], target: int) -> Bool[np.ndarray, " others"]:
    mask = [c.kind == "category" and len(c.classes) <= _MOST_CATEGORIES for c in columns]
    return np.delete(np.array(mask), target)


def _classify(
    columns: Sequence[Column],
    target: int,
    train: Float[np.ndarray, "n columns"],
    test: Float[np.ndarray, "k columns"],
    seed: int,
) -> dict[str, float]:
    ensemble, metrics = (sklearn(m, "Utility") for m in ("ensemble", "metrics"))
    (x, y), (held_x, held_y) = _parts(columns, target, train), _parts(columns, target, test)
    classes = np.unique(y)
    if len(classes) == 1:  # a collapsed generator teaches one answer: that is its score, not an error
        chance = np.ones((len(held_y), 1))
    else:
        model = ensemble.HistGradientBoostingClassifier(
            categorical_features=_categories(columns, target), early_stopping=False, random_state=seed
        )
        chance = model.fit(x, y).predict_proba(held_x)
    guess = classes[chance.argmax(axis=1)]
    found = {
        "accuracy": float((guess == held_y).mean()),
        "f1": float(metrics.f1_score(held_y, guess, average="macro", zero_division=0)),
    }
    truth = np.unique(held_y)
    if len(truth) == 2 and set(classes) <= set(truth):
        positive = chance[:, -1] if len(classes) == 2 else np.zeros(len(held_y))
        found["auc"] = float(metrics.roc_auc_score(held_y == truth[1], positive))
    return found


def _regress(
    columns: Sequence[Column],
    target: int,
    train: Float[np.ndarray, "n columns"],
    test: Float[np.ndarray, "k columns"],
    seed: int,
) -> dict[str, float]:
    ensemble, metrics = (sklearn(m, "Utility") for m in ("ensemble", "metrics"))
    (x, y), (held_x, held_y) = _parts(columns, target, train), _parts(columns, target, test)
    model = ensemble.HistGradientBoostingRegressor(
        categorical_features=_categories(columns, target), early_stopping=False, random_state=seed
    )
    return {"r2": float(metrics.r2_score(held_y, model.fit(x, y).predict(held_x)))}
