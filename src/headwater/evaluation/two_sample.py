"""The classifier two-sample test: can a classifier tell generated events from real ones?"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from headwater.evaluation.arrays import Features, as_pair
from headwater.evaluation.chance import normal_tail
from headwater.evaluation.extras import sklearn

__all__ = ["TwoSample", "classifier_two_sample"]


class TwoSample(NamedTuple):
    """Cross-validated accuracy and area under the curve; 0.5 is the best a generator can reach."""

    accuracy: float
    auc: float
    stderr: float
    p_value: float
    n: int


def classifier_two_sample(
    real: Features,
    fake: Features,
    *,
    classifier: Literal["boosting", "logistic"] = "boosting",
    folds: int = 5,
    rows: int = 2000,
    seed: int = 0,
) -> TwoSample:
    r"""Train a classifier to tell the two sets apart, and count how often it is right on rows it has not seen.

    Under the hypothesis that both sets follow one distribution the accuracy over
    n rows has mean 1/2 and standard deviation :math:`1 / (2 \sqrt n)`, which gives the
    p-value. ``stderr`` is that of the accuracy found, :math:`\sqrt{a (1-a) / n}`. Both sets
    are cut to the same number of rows, at most ``rows``, by ``seed``.

    Args:
        real: Features of real events, ``(n, d)``.
        fake: Features of generated events, ``(m, d)``.
        classifier: Gradient boosted trees, or logistic regression on standardized features.
        folds: Parts of the cross-validation.
        rows: Rows of each set, at most.
        seed: Of the choice of rows, the folds and the classifier.

    Raises:
        DataError: fewer than ``2 * folds`` rows on a side, or rows that do not fit together.
        MissingExtraError: scikit-learn is not installed.

    Reference:
        Revisiting Classifier Two-Sample Tests (Lopez-Paz & Oquab, 2017), https://arxiv.org/abs/1610.06545.
    """
    a, b = as_pair(real, fake, least=2 * folds)
    count = min(len(a), len(b), rows)
    random = np.random.default_rng(seed)
    x = np.concatenate([s[np.sort(random.permutation(len(s))[:count])] for s in (a, b)])
    y = np.repeat([0, 1], count)
    purpose = "The classifier two-sample test"
    ensemble, linear, selection, metrics, pipeline, scaling = (
        sklearn(m, purpose)
        for m in ("ensemble", "linear_model", "model_selection", "metrics", "pipeline", "preprocessing")
    )
    if classifier == "boosting":
        model = ensemble.HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=seed)
    else:
        model = pipeline.make_pipeline(scaling.StandardScaler(), linear.LogisticRegression(max_iter=2000))
    split = selection.StratifiedKFold(folds, shuffle=True, random_state=seed)
    chance = selection.cross_val_predict(model, x, y, cv=split, method="predict_proba")[:, 1]
    accuracy = float(((chance > 0.5) == y).mean())
    return TwoSample(
        accuracy=accuracy,
        auc=float(metrics.roc_auc_score(y, chance)),
        stderr=math.sqrt(accuracy * (1 - accuracy) / len(y)),
        p_value=normal_tail((accuracy - 0.5) * 2 * math.sqrt(len(y))),
        n=count,
    )
