"""What each part of the ensemble of protein variants is worth: leave it out, or put something simpler in its place.

    python -m benchmarks.variants_ablations ../shared/data/proteins [--only BLAT_ECOLX] [--out FOLDER]

For each alignment the default ensemble (FOLDER may be that of ``benchmarks.variants``: it is gone on with), then on all
variants of each assay Spearman's correlation, with 95 % bootstrap intervals, of

* mixtures of its members by the rule of shares: each kind alone, the ensemble without each kind, one and two VAEs;
* with one VAE, fitted anew: everything without sequence weights; the VAE without weight
  distributions; the VAE trained for a third of the steps.

Beside each stands what it gains over what it differs from in one thing, on the same variants of each bootstrap sample.

``results/variants-ablations.json`` is written after each protein; others that it holds are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.variants import ALIGNMENTS, run
from headwater.applications.variants.agreement import Agreement, agreement_with_assay, difference
from headwater.applications.variants.fit import fit_protein
from headwater.applications.variants.labels import read_assay
from headwater.applications.variants.members import MemberRecord
from headwater.applications.variants.pool import member_weights, shares
from headwater.applications.variants.table import VariantScores
from headwater.cli.display import display

NAME = "variants-ablations"

REFITS: Mapping[str, dict[str, Any]] = {
    "without sequence weights": {"settings": {"data": {"alignment": {"weights": "none"}}}},
    "VAE without weight distributions": {"kinds": ["vae"], "per_kind": {"vae": {"model": {"bayesian": False}}}},
    "VAE of 1,000 steps": {"kinds": ["vae"], "steps": 1000},
}
"""What is fitted anew, with one VAE; members that are not are the default ensemble's."""


def mixture(
    members: Sequence[MemberRecord], scores: Mapping[str, np.ndarray], depth: float, wanted: Sequence[str]
) -> np.ndarray:
    """Scores of some members, mixed as an ensemble of just these would mix them."""
    chosen = [member for member in members if member.name in wanted]
    parts = shares(depth, [member.kind for member in chosen])
    weights = member_weights(parts, [member.spread for member in chosen])
    return weights @ np.stack([scores[member.name] for member in chosen])


def selections(members: Sequence[MemberRecord]) -> dict[str, list[str]]:
    """Names of the members of each mixture; counting, which is the baseline, stays with the models of sites."""
    names = [member.name for member in members]
    kinds = list(dict.fromkeys(member.kind for member in members))
    found = {"ensemble": names}
    found |= {f"{kind} alone": [m.name for m in members if m.kind == kind] for kind in kinds}
    found |= {f"without {kind}": [m.name for m in members if m.kind != kind] for kind in kinds}
    vaes = [member.name for member in members if member.kind == "vae"]
    found |= {f"{n} VAE{'s' * (n > 1)}": [x for x in names if x not in vaes[n:]] for n in range(1, len(vaes))}
    return found


def measure(name: str, data: Path, out: Path) -> dict[str, Any]:
    """All ablations of a protein: Spearman by assay, and held-out figures of what was fitted anew."""
    path = data / ALIGNMENTS[name]
    ensemble = fit_protein(path, out / name, progress=display())
    table, depth = ensemble.score(), ensemble.alignment.depth
    own = {
        title: mixture(ensemble.members, table.members, depth, names)
        for title, names in selections(ensemble.members).items()
    }
    anew: dict[str, Any] = {}
    for i, (title, options) in enumerate(REFITS.items()):
        other = fit_protein(path, out / f"{name}-refit-{i}", seeds=1, progress=display(), **options)
        scores = other.score().members
        replaced = {member.name: member for member in other.members}
        kept = [member for member in ensemble.members if member.kind != "vae" or member.name in replaced]
        members = [replaced.get(member.name, member) for member in kept]
        wanted = [member.name for member in members]
        own[title] = mixture(members, {**table.members, **scores}, depth, wanted)
        own[f"{title}: the VAE"] = scores["vae-0"]
        anew[title] = {m.name: {"nats": m.nats, "steps": m.steps} for m in other.members if m.nats is not None}
    own["the VAE"] = table.members["vae-0"]
    return {"depth": round(depth, 2), "figures": _figures(data, name, table, own), "fitted_anew": anew}


def _figures(data: Path, name: str, table: VariantScores, own: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """By assay and mixture: Spearman with its interval, and what it gains over what it is to be compared with."""
    found: dict[str, Any] = {}
    for path in sorted((data / "assays").glob(f"{name.split('_')[0]}_*.csv")):
        matched = read_assay(path).match(table)
        at = {title: values[matched.rows] for title, values in own.items()}
        row = {}
        for title, values in at.items():
            value = agreement_with_assay(values, matched.values)[0]
            reference = compared_with(title)
            gain = difference(values, at[reference], matched.values)
            row[title] = {"spearman": _plain(value), "against": reference, "gain": _plain(gain)}
        found[path.stem] = row
    return found


def compared_with(title: str) -> str:
    """What an ablation differs from in one thing."""
    if "the VAE" in title:
        return "the VAE"
    return "1 VAE" if title in REFITS else "ensemble"


def _plain(found: Agreement) -> list[float | None]:
    return [None if x is None else round(x, 4) for x in (found.value, found.low, found.high)]


def summary(row: Mapping[str, Any]) -> str:
    """Spearman of every mixture, a line each, assays side by side."""
    titles = next(iter(row["figures"].values()))
    lines = [
        f"{title:44}" + "  ".join(f"{figures[title]['spearman'][0]:.4f}" for figures in row["figures"].values())
        for title in titles
    ]
    return "\n".join([", ".join(row["figures"]), *lines])


def _measured(protein: str, data: Path, out: Path) -> dict[str, Any]:
    row = measure(protein, data, out)
    print(summary(row), flush=True)
    return row


if __name__ == "__main__":
    run(NAME, __doc__, _measured)
