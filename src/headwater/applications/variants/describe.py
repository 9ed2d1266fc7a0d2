"""The content of a protein's report, out of its ensemble: scores, classes, members, codes, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from headwater.applications.variants.agreement import between
from headwater.applications.variants.classes import classify, fit_classes
from headwater.applications.variants.describe_family import codes_of, samples_of
from headwater.applications.variants.ensemble import Ensemble
from headwater.applications.variants.evaluation import COUNTING, ENSEMBLE, Comparison, compare_with
from headwater.applications.variants.heat_map import HeatMap
from headwater.applications.variants.labels import Labels
from headwater.applications.variants.members import MemberRecord
from headwater.applications.variants.mixture import Mixture
from headwater.applications.variants.report_content import (
    Agreement,
    AlignmentFacts,
    Estimate,
    MemberFacts,
    MixtureClass,
    ReportContent,
    Spread,
)
from headwater.applications.variants.spelling import spelled
from headwater.applications.variants.table import VariantScores
from headwater.data.alignments.info import ALPHABET, SHALLOW
from headwater.data.dataset import Dataset
from headwater.errors import DataError
from headwater.progress import Progress, SilentProgress

__all__ = ["describe", "matrix"]


def describe(
    ensemble: Ensemble,
    *,
    assays: Sequence[Labels] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> ReportContent:
    """Score all singles, classify, compare with files, draw sequences, place the family on the plane of codes.

    Where the alignment is no longer where it was, what needs it is left out and the report says so.

    Args:
        ensemble: Of the protein.
        assays: Measurements and labels to compare with.
        seed: Of draws and samples.
        progress: Who hears how far it is.
    """
    progress, info = progress or SilentProgress(), ensemble.alignment
    scores = ensemble.score(seed=seed, progress=progress)
    warnings = []
    if info.depth < SHALLOW:
        warnings.append(
            f"The alignment is shallow: {info.depth:.2g} effective sequences per position. "
            f"Models of single sites carry {sum(m.share for m in ensemble.members if m.independent):.0%} of the scores."
        )
    comparisons = [compare_with(_wanted(ensemble, labels, scores), labels) for labels in assays]
    try:
        natural: Dataset | None = ensemble.run(ensemble.members[0].name).dataset()
    except DataError as error:
        natural = None
        warnings.append(f"Without the alignment there is no map of codes and no nearest sequence: {error.message}")
    return ReportContent(
        alignment=AlignmentFacts(
            target=info.name,
            first=info.start,
            length=len(info.sequence),
            columns=len(info.positions),
            sequences=info.sequences,
            neff=float(info.neff),
            theta=info.theta,
            convention=info.convention,
            dropped=info.dropped,
            source=ensemble.record.alignment,
        ),
        members=tuple(_facts(member) for member in ensemble.members),
        heat_map=HeatMap(info.wild_type, info.positions, matrix(scores, info.positions)),
        spread=_spread(scores),
        agreements=tuple(agreement for comparison in comparisons for agreement in _agreements(comparison)),
        correlation=_correlation(scores),
        latent_map=None if natural is None else codes_of(ensemble, natural, seed),
        samples=() if natural is None else samples_of(ensemble, natural, seed),
        statuses=scores.counts,
        warnings=tuple(warnings),
        recipe=_recipe(ensemble),
    )


def _wanted(ensemble: Ensemble, labels: Labels, singles: VariantScores) -> VariantScores:
    """Scores of a file's variants: the singles', unless it holds others."""
    known, wanted = set(singles.variants), dict.fromkeys(labels.of(ensemble.name))
    if all(spelled(text).canonical in known for text in wanted):
        return singles
    return ensemble.score(list(wanted))


def matrix(scores: VariantScores, positions: tuple[int, ...]) -> Float[np.ndarray, "length 20"]:
    """Scores of single substitutions by position and residue; NaN at the wild type and where there is none."""
    found = np.full((len(positions), len(ALPHABET)), np.nan)
    row_of = {position: row for row, position in enumerate(positions)}
    for name, value in zip(scores.variants, scores.score, strict=True):
        if np.isfinite(value) and ":" not in name:
            found[row_of[int(name[1:-1])], ALPHABET.index(name[-1])] = value
    return found


def _facts(member: MemberRecord) -> MemberFacts:
    kind = member.nats_kind
    own = kind is None or kind == "pseudo-likelihood"
    return MemberFacts(
        name=member.name,
        kind=member.kind,
        share=member.share,
        held_out=None if own else member.nats,
        held_out_kind="exact" if kind is None or kind == "pseudo-likelihood" else kind,
        stderr=None if own else member.nats_stderr,
        steps=member.steps,
        minutes=member.seconds / 60,
        counting=member.independent,
        note=f"pseudo-likelihood {member.nats:.3f} nats per residue: not comparable"
        if own and member.nats is not None
        else "",
    )


def _spread(scores: VariantScores) -> Spread:
    classifier = fit_classes([scores])
    found = classify(scores, classifier)
    names, counts = np.unique(found.extras["class"], return_counts=True)
    mixture: Mixture = classifier.local[scores.protein]
    parts = (("pathogenic", mixture.pathogenic), ("benign", mixture.benign))
    uncertain = scores.score[found.extras["class"] == "uncertain"]
    return Spread(
        scores.score,
        tuple(MixtureClass(name, part.weight, part.mean, float(part.variance**0.5)) for name, part in parts),
        (float(uncertain.min()), float(uncertain.max())) if len(uncertain) else None,
        {str(name): int(count) for name, count in zip(names, counts, strict=True) if name},
    )


def _agreements(comparison: Comparison) -> list[Agreement]:
    found = []
    for place, first in enumerate(comparison.figures[ENSEMBLE]):
        if first.value is None:
            continue
        estimates = {
            model: Estimate(model, row[place].value or 0.0, row[place].low, row[place].high)
            for model, row in comparison.figures.items()
        }
        found.append(
            Agreement(
                name=comparison.matched.name,
                measure=first.name,
                n=first.n,
                counting=estimates[COUNTING],
                figures=tuple(estimate for model, estimate in estimates.items() if model != COUNTING),
                left_out=comparison.matched.left_out,
            )
        )
    return found


def _correlation(scores: VariantScores) -> tuple[tuple[str, ...], Float[np.ndarray, "k k"]]:
    values = {"ensemble": scores.score, **scores.members}
    table = np.array([[between(a, b) for b in values.values()] for a in values.values()])
    return tuple(values), table


def _recipe(ensemble: Ensemble) -> Mapping[str, str]:
    run = ensemble.run(ensemble.members[-1].name)
    made = run.recipe()
    return {
        "members": ", ".join(f"{m.name} ({m.steps} steps)" for m in ensemble.members),
        "data": ensemble.record.fingerprint[:16],
        "headwater": str(made["headwater"]),
        "torch": str(made["torch"]),
    }
