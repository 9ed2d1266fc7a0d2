"""Effects of protein variants: the default ensemble against measured effects, with the counting baseline beside it.

    python -m benchmarks.variants ../shared/data/proteins [--only BLAT_ECOLX,PTEN_HUMAN] [--out FOLDER]

For each alignment ``headwater variants fit`` with its defaults (EVE's filters), then Spearman's correlation with each
assay over the variants that it measured: the ensemble, every member, and counting (site-independent frequencies with a
pseudo-count) on the same alignment and the same variants, with 95 % bootstrap intervals over variants; for P53 the
AUC on clinical labels. Ensembles stay in FOLDER and are gone on with. ``results/variants.json`` is written after each
protein; others that it holds are kept.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import RESULTS, write
from headwater.applications.variants.evaluation import compare_with
from headwater.applications.variants.fit import fit_protein
from headwater.applications.variants.labels import read_assay, read_labels
from headwater.cli.display import display

ALIGNMENTS = {"BLAT_ECOLX": "BLAT_ECOLX.a2m", "PTEN_HUMAN": "PTEN_HUMAN_b1.0.a2m", "P53_HUMAN": "P53_HUMAN_b0.1.a2m"}
"""Target and file."""

NAME = "variants"


def measure(name: str, data: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Fit the default ensemble of a protein, score all singles, compare with every assay of it and with labels."""
    began = time.perf_counter()
    ensemble = fit_protein(data / ALIGNMENTS[name], out / name, progress=display(), **options)
    fitted = time.perf_counter()
    scores = ensemble.score()
    scored = time.perf_counter()
    info = ensemble.alignment
    assays = sorted((data / "assays").glob(f"{name.split('_')[0]}_*.csv"))
    files = [*(read_assay(path) for path in assays), read_labels(data / "clinvar_labels.csv")]
    known = [labels for labels in files if labels.proteins is None or name in labels.proteins]
    return {
        "alignment": {"sequences": info.sequences, "positions": len(info.positions), "neff": round(info.neff, 1)},
        "depth": round(info.depth, 2),
        "fit_minutes": round((fitted - began) / 60, 2),
        "score_seconds": round(scored - fitted, 1),
        "members": [member.model_dump(mode="json") for member in ensemble.members],
        "comparisons": {labels.name: _rounded(compare_with(scores, labels).to_json()) for labels in known},
    }


def _rounded(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _rounded(value) for key, value in values.items()}
    return round(values, 4) if isinstance(values, float) else values


def summary(figures: dict[str, Any]) -> str:
    """The main figure of every file: Spearman of assays, AUC of labels."""
    lines = []
    for name, row in figures["comparisons"].items():
        measure = "Spearman" if "Spearman" in row["figures"]["ensemble"] else "AUC"
        cells = {model: found[measure]["value"] for model, found in row["figures"].items()}
        lines.append(f"{name} ({row['variants']}) {measure} " + " ".join(f"{m} {v}" for m, v in cells.items()))
    return "\n".join(lines)


def run(name: str, about: str | None, measured: Callable[[str, Path, Path], dict[str, Any]]) -> None:
    """Measure protein by protein as the command line says; after each write ``results/NAME.json``, keeping others."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default=",".join(ALIGNMENTS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    path = RESULTS / f"{name}.json"
    out = arguments.out or Path(tempfile.mkdtemp())
    for protein in arguments.only.split(","):
        row = measured(protein, arguments.data, out)
        figures = json.loads(path.read_text())["figures"] if path.exists() else {}
        command = f"python -m benchmarks.{name.replace('-', '_')} ../shared/data/proteins"
        write(name, command, {**figures, protein: row})


def _measured(protein: str, data: Path, out: Path) -> dict[str, Any]:
    row = {"threads": torch.get_num_threads(), **measure(protein, data, out)}
    print(summary(row), flush=True)
    return row


if __name__ == "__main__":
    run(NAME, __doc__, _measured)
