"""Compare runs: read their evaluations, make the missing ones, and put all on one leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from headwater.errors import HeadwaterError
from headwater.evaluation.evaluate import FILE, evaluate_run, read_evaluation
from headwater.evaluation.evaluation import Evaluation
from headwater.evaluation.leaderboard import Leaderboard, leaderboard
from headwater.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from headwater.data.dataset import Dataset
    from headwater.runs.run import Run

__all__ = ["Leaderboard", "compare"]


def compare(
    runs: Sequence[Run | str | Path],
    *,
    split: Literal["test", "valid"] = "test",
    n: int | None = None,
    seed: int = 0,
    dataset: Dataset | None = None,
    device: str = "auto",
    evaluate: bool = True,
    progress: Progress | None = None,
    **options: Any,
) -> Leaderboard:
    """One leaderboard over runs; a run that fails is a row with its reason.

    Args:
        runs: Opened runs or run folders.
        split: Held-out part; an evaluation of another split is not used.
        n: Events; an evaluation with another number is not used. None accepts any.
        seed: Of evaluations that are made; one with another seed is not used.
        dataset: The data of runs that must be evaluated; None opens what they name.
        device: Where runs are opened that must be evaluated.
        evaluate: Make evaluations that are missing; False lists those runs as failed.
        progress: Who hears how far it is.
        options: Passed to :func:`headwater.evaluation.evaluate.evaluate_run`.
    """
    progress = progress or SilentProgress()
    found: list[Evaluation] = []
    failed: list[tuple[str, str]] = []
    for given in runs:
        name = Path(given).name if isinstance(given, str | Path) else given.name
        try:
            run = _opened(given, device)
            known = _known(run, split, n, seed)
            if known is None and evaluate:
                known = evaluate_run(run, dataset=dataset, split=split, n=n, seed=seed, progress=progress, **options)
        except HeadwaterError as error:
            failed.append((name, " ".join(str(error).split())))
            continue
        if known is None:
            failed.append((name, f"not evaluated on {split!r}; type: headwater evaluate {name} --split {split}"))
        else:
            found.append(known)
    return leaderboard(found, failed)


def _opened(run: Run | str | Path, device: str) -> Run:
    if not isinstance(run, str | Path):
        return run
    from headwater.runs.run import Run

    return Run.load(Path(run), device=device)


def _known(run: Run, split: str, n: int | None, seed: int) -> Evaluation | None:
    """The evaluation in the folder, unless it is of another split, number, seed or checkpoint."""
    if not (run.folder.path / FILE).is_file():
        return None
    found = read_evaluation(run.folder)
    stamp = found.stamp
    same = (stamp.split, stamp.seed, stamp.checkpoint) == (split, seed, run.recipe()["checkpoint"])
    return found.model_copy(update={"run": run.name}) if same and n in (None, stamp.n) else None
