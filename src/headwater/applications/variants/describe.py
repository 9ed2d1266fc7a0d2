"""The content of a protein's report, out of its ensemble: scores, classes, members, codes, samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from headwater.applications.variants.agreement import between
from headwater.applications.variants.classes import classify, fit_classes
from headwater.applications.variants.ensemble import Ensemble
from headwater.applications.variants.evaluation import COUNTING, ENSEMBLE, Comparison, compare_with
from headwater.applications.variants.heat_map import HeatMap
from headwater.applications.variants.labels import Labels
from headwater.applications.variants.latent_map import LatentMap, latent_map
from headwater.applications.variants.members import MemberRecord
from headwater.applications.variants.mixture import Mixture
from headwater.applications.variants.nearest import nearest_identity
from headwater.applications.variants.report_content import (
    Agreement,
    AlignmentFacts,
    Estimate,
    MemberFacts,
    MixtureClass,
    ReportContent,
    SampledSequence,
    Spread,
)
from headwater.applications.variants.table import VariantScores
from headwater.data.alignments.info import ALPHABET, SHALLOW
from headwater.data.dataset import Dataset
from headwater.errors import DataError
from headwater.models.base import Latent
from headwater.progress import Progress, SilentProgress
from headwater.rng import Rng
from headwater.runs.run import Run

__all__ = ["describe"]

_SAMPLES = 8
_ENCODED = 1024
_SAMPLERS = ("pairwise", "potts", "vae")


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
        latent_map=None if natural is None else _codes(ensemble, natural, seed),
        samples=() if natural is None else _samples(ensemble, natural, seed),
        statuses=scores.counts,
        warnings=tuple(warnings),
        recipe=_recipe(ensemble),
    )


def _wanted(ensemble: Ensemble, labels: Labels, singles: VariantScores) -> VariantScores:
    """Scores of a file's variants: the singles', unless it holds others."""
    if all(":" not in text and "," not in text for text in labels.variants):
        return singles
    return ensemble.score(list(dict.fromkeys(labels.variants)))


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


def _natural(dataset: Dataset) -> UInt8[np.ndarray, "n sites"]:
    return np.asarray(dataset.storage, dtype=np.uint8)


def _codes(ensemble: Ensemble, dataset: Dataset, seed: int) -> LatentMap | None:
    """The family and samples of the first member that has codes, on the plane."""
    run = next((ensemble.run(m.name) for m in ensemble.members if isinstance(ensemble.run(m.name).model, Latent)), None)
    if run is None:
        return None
    natural = _natural(dataset)
    known = natural < len(ALPHABET)
    identity = ((natural == ensemble.wild_type) & known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    sampled = run.codec.decode(run.sample_events(256, seed=seed)).cpu().numpy().astype(np.uint8)
    return latent_map(
        _encode(run, natural),
        identity,
        _encode(run, ensemble.wild_type[None])[0],
        _encode(run, sampled),
        name=ensemble.name,
    )


@torch.no_grad()
def _encode(run: Run, codes: UInt8[np.ndarray, "n sites"]) -> Float[np.ndarray, "n latent"]:
    model = run.model
    assert isinstance(model, Latent)
    device, found = next(model.parameters()).device, []
    for start in range(0, len(codes), _ENCODED):
        raw = torch.from_numpy(codes[start : start + _ENCODED]).to(device)
        x, _ = run.codec.encode(raw, Rng.of(0, len(raw), start=start, device=device))
        found.append(model.encode(x).double().cpu().numpy())
    return np.concatenate(found)


def _samples(ensemble: Ensemble, dataset: Dataset, seed: int) -> tuple[SampledSequence, ...]:
    """A few sequences of one member of each kind that samples well."""
    natural, found = _natural(dataset), []
    for kind in _SAMPLERS:
        member = next((m for m in ensemble.members if m.kind == kind), None)
        if member is None:
            continue
        run = ensemble.run(member.name)
        drawn = run.codec.decode(run.sample_events(_SAMPLES, seed=seed)).cpu().numpy().astype(np.uint8)
        identity, nearest = nearest_identity(drawn, natural)
        for codes, share, row in zip(drawn, identity, nearest, strict=True):
            found.append(
                SampledSequence(
                    "".join(ALPHABET[code] for code in codes),
                    float(share),
                    f"row {int(row) + 1} of the alignment, by {member.name}",
                    float((codes == ensemble.wild_type).mean()),
                )
            )
    return tuple(found)


def _recipe(ensemble: Ensemble) -> Mapping[str, str]:
    run = ensemble.run(ensemble.members[-1].name)
    made = run.recipe()
    return {
        "members": ", ".join(f"{m.name} ({m.steps} steps)" for m in ensemble.members),
        "data": ensemble.record.fingerprint[:16],
        "headwater": str(made["headwater"]),
        "torch": str(made["torch"]),
    }
