"""An ensemble against measured effects and clinical labels: every member beside it, counting always among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.applications.variants import NOTICE
from headwater.applications.variants.agreement import (
    Agreement,
    agreement_table,
    agreement_with_assay,
    agreement_with_labels,
    difference,
)
from headwater.applications.variants.ensemble import Ensemble
from headwater.applications.variants.labels import Labels, Matched
from headwater.applications.variants.table import VariantScores
from headwater.errors import UsageError
from headwater.progress import Progress

__all__ = ["COUNTING", "ENSEMBLE", "Comparison", "compare_with", "evaluate"]

ENSEMBLE, COUNTING = "ensemble", "counting"


@dataclass(frozen=True)
class Comparison:
    """Figures of the ensemble and of each member on the variants of one file.

    Args:
        matched: Which variants, and what was left out.
        figures: By name of the model; ``ensemble`` first.
        gain: The ensemble's Spearman minus that of counting on the same samples; None for labels.
    """

    matched: Matched
    figures: Mapping[str, tuple[Agreement, ...]]
    gain: Agreement | None

    def __str__(self) -> str:
        text = f"{self.matched}\n{agreement_table(dict(self.figures))}"
        if self.gain is not None and self.gain.value is not None:
            text += f"\nensemble minus counting, Spearman: {_interval(self.gain)}"
        return text

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.matched.name,
            "variants": len(self.matched.rows),
            "left_out": dict(self.matched.left_out),
            "notice": NOTICE,
            "figures": {model: {a.name: _plain(a) for a in row} for model, row in self.figures.items()},
            **({} if self.gain is None else {"ensemble_minus_counting": _plain(self.gain)}),
        }


def compare_with(scores: VariantScores, labels: Labels, *, protein: str | None = None) -> Comparison:
    """Match and compare.

    Args:
        scores: Of an ensemble that was asked for the file's variants.
        labels: Measurements or labels.
        protein: Its name in the file, where that differs.

    Raises:
        DataError: nothing matches; the counts say why.
    """
    matched = labels.match(scores, protein=protein)
    columns = {ENSEMBLE: scores.score, **scores.members}
    at = {name: values[matched.rows] for name, values in columns.items()}
    if labels.clinical:
        pathogenic = matched.values > 0.5
        return Comparison(matched, {n: (agreement_with_labels(v, pathogenic),) for n, v in at.items()}, None)
    figures = {name: agreement_with_assay(values, matched.values) for name, values in at.items()}
    gain = difference(at[ENSEMBLE], at[COUNTING], matched.values) if COUNTING in at else None
    return Comparison(matched, figures, gain)


def evaluate(
    ensemble: Ensemble,
    files: Sequence[Labels],
    *,
    protein: str | None = None,
    tolerance: float = 0.05,
    progress: Progress | None = None,
) -> tuple[Comparison, ...]:
    """Score what the files name and compare with each.

    Raises:
        UsageError: no file was given.
        DataError: a file has nothing of this protein.
    """
    if not files:
        raise UsageError("Expected an assay or labels to compare with, got none.", hint="--assay FILE or --labels FILE")
    wanted = dict.fromkeys(text for labels in files for text in labels.of(protein or ensemble.name))
    scores = ensemble.score(list(wanted) or None, tolerance=tolerance, progress=progress)
    return tuple(compare_with(scores, labels, protein=protein) for labels in files)


def _plain(found: Agreement) -> dict[str, Any]:
    plain: dict[str, Any] = {"value": found.value, "low": found.low, "high": found.high, "n": found.n}
    return plain | ({"note": found.note} if found.note else {})


def _interval(found: Agreement) -> str:
    assert found.value is not None
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
