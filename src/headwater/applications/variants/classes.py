"""Classes of variants: pathogenic, benign, or uncertain, from the two groups that scores fall into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float64

from headwater.applications.variants.classes_file import EVE_THRESHOLDS, Classifier, entropy
from headwater.applications.variants.mixture import LEAST, Mixture, fit_mixture
from headwater.applications.variants.spelling import WILD_TYPE
from headwater.applications.variants.table import VariantScores
from headwater.errors import DataError

__all__ = ["EVE_THRESHOLDS", "MANY", "Classifier", "classify", "entropy", "fit_classes"]

MANY = 20
"""Proteins from which a mixture of all of them is a reference for one."""


def fit_classes(
    tables: Sequence[VariantScores],
    *,
    together: bool | None = None,
    shared: Mixture | None = None,
    share: float = 0.7,
    monotone: bool = True,
) -> Classifier:
    """Find two groups among the scores of each protein, and of all of them.

    Local mixtures begin at the global one, where there is one, as in EVE. The wild type is no variant: rows that
    change nothing are left out. What could not be fitted is told in ``notes``.

    Args:
        tables: One per protein, best of all single substitutions.
        together: Whether to fit a global mixture; by default where there are at least twenty proteins.
        shared: A global mixture that is known already.
        share: Weight of the global mixture.
        monotone: See :meth:`~headwater.applications.variants.mixture.Mixture.probability`.

    Raises:
        DataError: no tables, a protein twice, too few scores, or scores that are all equal.
    """
    names = [table.protein for table in tables]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if not tables or twice is not None:
        raise DataError(
            f"The protein {twice!r} comes twice." if tables else "Expected the scores of a protein, got none."
        )
    values = {table.protein: _variants_only(table) for table in tables}
    notes: list[str] = []
    if shared is None:
        together = len(tables) >= MANY if together is None else together
        if together:
            shared = fit_mixture(np.concatenate(list(values.values())))
            if len(tables) < MANY:
                notes.append(f"The global mixture is of {len(tables)} proteins only; EVE's is of 3,219.")
        else:
            notes.append(f"Classes are of each protein alone: fewer than {MANY} proteins make no global mixture.")
    local: dict[str, Mixture] = {}
    for name, scores in values.items():
        if shared is not None and len(scores) < LEAST:
            notes.append(
                f"{name}: {len(scores)} scores are too few for a mixture of its own; the global one stands in."
            )
            continue
        local[name] = fit_mixture(scores, start=shared)
        if local[name].gain <= 0:
            notes.append(f"{name}: one Gaussian describes the scores as well as two; do not rely on the classes.")
        elif local[name].separation < 2:
            notes.append(f"{name}: the two groups overlap (separation {local[name].separation:.2f}, two humps need 2).")
    found = Classifier(
        shared=shared,
        local=local,
        share=share,
        monotone=monotone,
        proteins=len(tables),
        scores=sum(map(len, values.values())),
        uncertainties=(0.0,) * 101,
        notes=tuple(notes),
    )
    probability = np.concatenate([found.probability(name, scores) for name, scores in values.items()])
    spread = entropy(probability)
    percentiles = np.quantile(spread, np.linspace(0, 1, 101), method="inverted_cdf")
    if not (spread[probability >= 0.5] <= percentiles[75]).any():
        notes.append(
            "Where 75 % of the variants keep a class, none is called pathogenic; EVE's thresholds may suit better."
        )
    return found.model_copy(update={"uncertainties": tuple(map(float, percentiles)), "notes": tuple(notes)})


def classify(
    table: VariantScores,
    classifier: Classifier,
    *,
    retained: float = 0.75,
    rule: Literal["own", "eve"] = "own",
) -> VariantScores:
    """The table with ``class``, ``pathogenic_probability`` and ``uncertainty``.

    A class is ``uncertain`` where the entropy of the probability exceeds the threshold, otherwise ``pathogenic`` from a
    probability of one half, ``benign`` below. What has no score has no class.

    Args:
        table: Scores of one protein.
        classifier: Of the same model's scores.
        retained: Share of variants that keep a class; more where uncertainties are tied.
        rule: ``own``: the share is of the variants fitted; ``eve``: EVE's shipped thresholds for 0.25, 0.5, 0.75, of
            which the last means: uncertain between 0.3204 and 0.6796.

    Raises:
        UsageError, DataError: as :meth:`Classifier.threshold` and :meth:`Classifier.probability`.
    """
    threshold = classifier.threshold(retained, rule)
    probability = classifier.probability(table.protein, table.score)
    uncertainty = entropy(probability)
    names = np.where(probability >= 0.5, "pathogenic", "benign")
    names = np.where(uncertainty > threshold, "uncertain", names)
    names = np.where(table.scored, names, "")
    return table.having(class_=names, pathogenic_probability=probability, uncertainty=uncertainty)


def _variants_only(table: VariantScores) -> Float64[np.ndarray, " n"]:
    silent = np.array([name == WILD_TYPE or name.endswith("=") for name in table.variants], dtype=np.bool_)
    found = table.score[table.scored & ~silent]
    if not len(found):
        raise DataError(f"{table.protein}: none of {len(table)} variants has a score.")
    return found
