"""``headwater variants``: build, fit, score, classify, evaluate, report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from headwater.cli.display import display, say
from headwater.cli.examples import EXAMPLES
from headwater.cli.options import Device, Out, Quiet, Seed, Set, Steps

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

Assays = Annotated[
    tuple[Path, ...],
    Parameter(name="--assay", negative=(), help="CSV of measured effects (mutant, score); may be repeated"),
]
LabelFiles = Annotated[
    tuple[Path, ...], Parameter(name="--labels", negative=(), help="CSV of clinical labels; may be repeated")
]
Protein = Annotated[str | None, Parameter(help="the protein's name in those files, where it differs")]
ExistOk = Annotated[bool, Parameter(negative=(), help="replace an existing file")]


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
    from headwater.applications.variants.ensemble import Ensemble
    from headwater.applications.variants.fit import fit_protein
    from headwater.applications.variants.queue import Shard, fit_folder
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
    ensemble: Ensemble = fit_protein(data, place, progress=progress, **options)
    if is_main_process():
        say(summary(ensemble))
        say(f"next: headwater variants score {place} --out scores.csv   |   headwater variants report {place}")


def score(
    run: Path,
    wanted: Annotated[
        tuple[str, ...], Parameter(negative=(), help="variants, such as A24C or p.Ala24Cys; none: all singles")
    ] = (),
    /,
    *,
    variants_file: Annotated[
        Path | None,
        Parameter(name=["--variants", "-f"], help="file of variants: a list, or a CSV with a column mutant"),
    ] = None,
    out: Out = None,
    tolerance: Annotated[float, Parameter(help="standard error to reach, as a share of the scores' spread")] = 0.05,
    seed: Annotated[int, Parameter(help="of the draws")] = 0,
    device: Device = None,
    exist_ok: ExistOk = False,
    quiet: Quiet = False,
) -> None:
    """Score variants: log-odds against the wild type, nats, higher is better tolerated; every variant gets a row.

    Args:
        run: Folder of an ensemble, or of several (then all singles of each, in one table).
    """
    from headwater.applications.variants import NOTICE
    from headwater.applications.variants.ensemble import ensembles_in
    from headwater.applications.variants.lists import variants_of_file
    from headwater.applications.variants.table import write_scores
    from headwater.errors import UsageError

    found = ensembles_in(run, device=device or "auto")
    texts = [*wanted, *(variants_of_file(variants_file) if variants_file is not None else [])]
    if texts and len(found) > 1:
        raise UsageError(
            f"{run} holds {len(found)} proteins; variants are of one.", hint=f"Give one of them: {found[0].path}"
        )
    progress = display(quiet=quiet)
    tables = [ensemble.score(texts or None, tolerance=tolerance, seed=seed, progress=progress) for ensemble in found]
    for table in tables:
        say(f"{table.protein}: " + ", ".join(f"{count} {status}" for status, count in table.counts.items()))
        if out is None:
            for row in table.frame().head(40).iter_rows(named=True):
                value = (
                    "" if row["score"] is None else f"{row['score']:8.3f} +- {row['disagreement']:.3f} between members"
                )
                say(f"  {row['variant']:12} {value or row['status']}")
    if out is not None:
        say(f"scores: {write_scores(tables, out, exist_ok=exist_ok)}")
    say(NOTICE)


def classify(
    scores: Path,
    /,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"], help="table to write (.csv, .parquet)")],
    mixture: Annotated[
        Path | None, Parameter(help="class parameters of an earlier --save, JSON; None: fitted here")
    ] = None,
    save: Annotated[Path | None, Parameter(help="write the class parameters, JSON")] = None,
    retain: Annotated[float, Parameter(help="share of variants that keep a class; the others are uncertain")] = 0.75,
    rule: Annotated[Literal["own", "eve"], Parameter(help="eve: EVE's shipped thresholds for 0.25, 0.5, 0.75")] = "own",
    exist_ok: ExistOk = False,
) -> None:
    """Call variants pathogenic, benign or uncertain by the two groups that scores fall into.

    Args:
        scores: Table that `variants score` wrote, of one protein or several; best of all singles.
    """
    from headwater.applications.variants import NOTICE
    from headwater.applications.variants.classes import Classifier, fit_classes
    from headwater.applications.variants.classes import classify as classified
    from headwater.applications.variants.table import read_scores, write_scores

    tables = read_scores(scores)
    classifier = fit_classes(tables) if mixture is None else Classifier.read(mixture)
    found = [classified(table, classifier, retained=retain, rule=rule) for table in tables]
    for table in found:
        names = table.extras["class"].tolist()
        say(f"{table.protein}: " + ", ".join(f"{names.count(n)} {n}" for n in ("pathogenic", "benign", "uncertain")))
    for note in classifier.notes:
        say(note)
    say(f"classes: {write_scores(found, out, exist_ok=exist_ok)}")
    if save is not None:
        say(f"parameters: {classifier.write(save, exist_ok=exist_ok)}")
    say(NOTICE)


def evaluate(
    run: Path,
    /,
    *,
    assay: Assays = (),
    labels: LabelFiles = (),
    protein: Protein = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="write the figures as JSON")] = None,
    device: Device = None,
    exist_ok: ExistOk = False,
    quiet: Quiet = False,
) -> None:
    """Compare an ensemble with measured effects and clinical labels; every member and counting beside it.

    Args:
        run: Folder of an ensemble.
    """
    from headwater.applications.variants import NOTICE
    from headwater.applications.variants.ensemble import Ensemble
    from headwater.applications.variants.evaluation import evaluate as evaluated
    from headwater.errors import UsageError
    from headwater.runs.files import write_json

    if out is not None and out.exists() and not exist_ok:
        raise UsageError(f"{out} exists already.", hint="Choose another --out, or replace it with --exist-ok.")
    ensemble = Ensemble.open(run, device=device or "auto")
    found = evaluated(ensemble, _files(assay, labels), protein=protein, progress=display(quiet=quiet))
    for comparison in found:
        say(str(comparison))
    if out is not None:
        write_json(out, {"protein": ensemble.name, "comparisons": [comparison.to_json() for comparison in found]})
        say(f"figures: {out}")
    say(NOTICE)


def report(
    run: Path,
    /,
    *,
    assay: Assays = (),
    labels: LabelFiles = (),
    out: Annotated[
        Path | None, Parameter(name=["--out", "-o"], help="HTML file; default: report.html in the folder")
    ] = None,
    pictures: Annotated[Path | None, Parameter(help="folder for heat map and map of codes as SVG and PNG")] = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """One offline HTML page on a protein: alignment, trust, members, heat map, classes, codes, samples.

    Args:
        run: Folder of an ensemble.
    """
    from headwater.applications.variants.describe import describe
    from headwater.applications.variants.ensemble import Ensemble
    from headwater.applications.variants.report import write_report

    ensemble = Ensemble.open(run, device=device or "auto")
    content = describe(ensemble, assays=_files(assay, labels), progress=display(quiet=quiet))
    say(f"report: {write_report(out or run / 'report.html', content)}")
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        for name, picture in (("heat-map", content.heat_map), ("codes", content.latent_map)):
            if picture is not None:
                for ending in ("svg", "png"):
                    say(f"picture: {picture.write(pictures / f'{name}.{ending}')}")


def _files(assays: tuple[Path, ...], labels: tuple[Path, ...]) -> list[Any]:
    from headwater.applications.variants.labels import read_assay, read_labels

    return [*(read_assay(path) for path in assays), *(read_labels(path) for path in labels)]


def _settings(assignments: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings of all members by section, and of kinds of members."""
    from headwater.applications.variants.members import KINDS
    from headwater.config import apply_assignments

    values = apply_assignments({}, assignments)
    per_kind = {kind: values.pop(kind) for kind in KINDS if kind in values}
    return values, per_kind


def summary(ensemble: Any) -> str:
    """A few lines on an ensemble: what the alignment is, how far to trust it, who counts how much."""
    from headwater.applications.variants.trust import trust

    info = ensemble.alignment
    counting = sum(member.share for member in ensemble.members if member.independent)
    lines = [
        f"{info.name}: {info.sequences:,} sequences, {len(info.positions)} positions, Neff {info.neff:,.1f}",
        trust(info.neff, len(info.positions), counting).words,
        f"{'member':<12}{'share':>7}{'spread':>9}   held-out nats per residue",
    ]
    for member in ensemble.members:
        nats = "-" if member.nats is None else f"{member.nats:.4f} +- {member.nats_stderr:.4f} ({member.nats_kind})"
        lines.append(f"{member.name:<12}{member.share:>7.1%}{member.spread:>9.3f}   {nats}")
    return "\n".join(lines)


_COMMANDS: tuple[Callable[..., None], ...] = (build, fit, score, classify, evaluate, report)
for _rank, _command in enumerate(_COMMANDS):
    variants.command(
        _command, name=_command.__name__, sort_key=_rank, help_epilogue=EXAMPLES[f"variants {_command.__name__}"]
    )
