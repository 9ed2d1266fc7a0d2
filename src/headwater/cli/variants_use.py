"""``headwater variants score``, ``classify``, ``evaluate``, ``report``: what a fitted ensemble is used for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from headwater.cli.display import display, say
from headwater.cli.options import Device, Out, Quiet

if TYPE_CHECKING:
    from headwater.applications.variants.labels import Labels

__all__ = ["classify", "evaluate", "report", "score"]

Assays = Annotated[
    tuple[Path, ...],
    Parameter(name="--assay", negative=(), help="CSV of measured effects (mutant, score); may be repeated"),
]
LabelFiles = Annotated[
    tuple[Path, ...], Parameter(name="--labels", negative=(), help="CSV of clinical labels; may be repeated")
]
Protein = Annotated[str | None, Parameter(help="the protein's name in those files, where it differs")]
ExistOk = Annotated[bool, Parameter(negative=(), help="replace an existing file")]


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
    from headwater.runs.files import refuse_existing, write_json

    if out is not None:
        refuse_existing(out, exist_ok=exist_ok)
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


def _files(assays: tuple[Path, ...], labels: tuple[Path, ...]) -> list[Labels]:
    from headwater.applications.variants.labels import read_assay, read_labels

    return [*(read_assay(path) for path in assays), *(read_labels(path) for path in labels)]
