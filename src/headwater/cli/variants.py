"""``headwater variants``: build, fit, score, classify, evaluate, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from headwater.cli.display import display, say
from headwater.cli.examples import EXAMPLES
from headwater.cli.options import Device, Quiet, Seed, Set, Steps
from headwater.cli.variants_use import classify, evaluate, report, score

__all__ = ["variants"]

variants = App(
    name="variants",
    help="Effects of protein variants from an alignment of the family. Research use only, not for diagnosis.",
    help_format="plaintext",
    help_epilogue=EXAMPLES["variants"],
    default_parameter=None,
    sort_key=50,
)
variants["--help"].group = "Session"


def build(
    target: Path,
    database: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"], help="alignment to write (.a2m)")],
    bits: Annotated[float | None, Parameter(help="bits per residue a hit needs; None: chosen by depth")] = None,
    iterations: Annotated[int, Parameter(help="rounds of search, each with the profile of the last")] = 5,
    quiet: Quiet = False,
) -> None:
    """Make an alignment from a sequence and a local FASTA file of others, and show its depth at several thresholds.

    Args:
        target: FASTA with the one sequence that variants are of.
        database: FASTA of sequences to search.
    """
    from headwater.applications.variants.build import build_alignment

    built = build_alignment(
        target, database, out, bit_score_per_residue=bits, iterations=iterations, progress=display(quiet=quiet)
    )
    say(str(built))
    say(f"next: headwater variants fit {out}")


def fit(
    data: Path,
    /,
    *,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="folder to write; default: runs/NAME")] = None,
    members: Annotated[
        str | None,
        Parameter(help="kinds of members, comma-separated: sites, potts, pairwise, vae; counting comes along"),
    ] = None,
    seeds: Annotated[int, Parameter(help="how many VAEs")] = 3,
    shard: Annotated[str | None, Parameter(help="our part of a folder's queue, such as 3/16")] = None,
    steps: Steps = None,
    seed: Seed = None,
    device: Device = None,
    set_: Set = (),
    quiet: Quiet = False,
) -> None:
    """Fit an ensemble to an alignment, or one to each alignment of a folder; the same command goes on where it stopped.

    Settings go to every member (--set training.minutes=5, --set data.alignment.theta=0.01) or to one kind
    (--set vae.training.steps=2000). Under torchrun, or with --shard in a job array, processes share a folder's queue.

    Args:
        data: Alignment (A2M, A3M, Stockholm, FASTA; maybe .gz), its first sequence the target; or a folder of them.
    """
    from headwater.applications.variants.fit import fit_protein
    from headwater.applications.variants.queue import Shard, fit_folder
    from headwater.applications.variants.summary import summary
    from headwater.errors import DataError, UsageError
    from headwater.pipeline import is_main_process
    from headwater.runs.names import slug

    progress = display(quiet=quiet)
    common, per_kind = _settings(set_)
    options: dict[str, Any] = {
        "kinds": None if members is None else [kind.strip() for kind in members.split(",")],
        "seeds": seeds,
        "seed": seed or 0,
        "steps": steps,
        "device": device,
        "settings": common,
        "per_kind": per_kind,
    }
    if data.is_dir():
        place = out or Path("runs")
        part = None if shard is None else Shard.parse(shard)
        result = fit_folder(data, place, shard=part, progress=progress, **options)
        say(str(result))
        if result.failed:
            names = "; ".join(f"{name}: {reason}" for name, reason in result.failed.items())
            raise DataError(f"{len(result.failed)} failed: {names}", hint="Mend them and give the same command again.")
        say(f"next: headwater variants score {place} --out scores.csv")
        return
    if shard is not None:
        raise UsageError("--shard divides a folder of alignments, got one alignment.", hint="Leave it out.")
    bare = data.with_suffix("") if data.suffix.lower() == ".gz" else data
    place = out or Path("runs") / slug(bare.stem)
    ensemble = fit_protein(data, place, progress=progress, **options)
    if is_main_process():
        say(summary(ensemble))
        say(f"next: headwater variants score {place} --out scores.csv   |   headwater variants report {place}")


def _settings(assignments: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings of all members by section, and of kinds of members."""
    from headwater.applications.variants.members import KINDS
    from headwater.config import apply_assignments

    values = apply_assignments({}, assignments)
    per_kind = {kind: values.pop(kind) for kind in KINDS if kind in values}
    return values, per_kind


_COMMANDS: tuple[Callable[..., None], ...] = (build, fit, score, classify, evaluate, report)
for _rank, _command in enumerate(_COMMANDS):
    variants.command(
        _command, name=_command.__name__, sort_key=_rank, help_epilogue=EXAMPLES[f"variants {_command.__name__}"]
    )
