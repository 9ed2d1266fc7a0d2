"""``headwater evaluate`` and ``headwater compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from headwater.cli.display import display, say
from headwater.cli.options import Device, Quiet

__all__ = ["compare", "evaluate"]

Split = Annotated[Literal["test", "valid"], Parameter(help="tune on valid; test is for the final figure")]


def evaluate(
    run: Path,
    /,
    *,
    split: Split = "test",
    n: Annotated[int | None, Parameter(name=["--number", "-n"], help="how many samples and held-out events")] = None,
    seed: Annotated[int, Parameter(help="of samples and estimators")] = 0,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """Measure a run on held-out data: likelihood, distances with their floor, memorization, utility.

    The result is printed and written to the run folder as evaluation.json.

    Args:
        run: Run folder.
    """
    from headwater.api import evaluate as evaluate_run
    from headwater.api import load

    opened = load(run, device=device or "auto")
    say(str(evaluate_run(opened, split=split, n=n, seed=seed, progress=display(quiet=quiet))))


def compare(
    runs: Annotated[tuple[Path, ...], Parameter(negative=(), help="run folders")],
    /,
    *,
    split: Split = "test",
    n: Annotated[int | None, Parameter(name=["--number", "-n"], help="how many samples and held-out events")] = None,
    report: Annotated[Path | None, Parameter(help="write one self-contained HTML file")] = None,
    json: Annotated[Path | None, Parameter(help="write the leaderboard as JSON")] = None,
    device: Device = None,
    quiet: Quiet = False,
) -> None:
    """One leaderboard over runs; failures are listed, rows that cannot be compared are said to be so.

    Runs that have no evaluation of this split yet are evaluated first.
    """
    from headwater.api import compare as compare_runs

    progress = display(quiet=quiet)
    leaderboard = compare_runs(*runs, split=split, n=n, device=device or "auto", progress=progress)
    say(str(leaderboard))
    if json is not None:
        leaderboard.write_json(json)
        say(f"leaderboard: {json}")
    if report is not None:
        from headwater.evaluation.report import write_report

        write_report(report, runs, leaderboard=leaderboard, progress=progress)
        say(f"report: {report}")
