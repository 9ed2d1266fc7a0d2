"""``headwater demo``: one model of each family on real handwritten digits, compared on one page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from headwater.cli.display import display, say
from headwater.cli.options import Quiet
from headwater.errors import HeadwaterError, MissingExtraError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from headwater.runs.run import Run

__all__ = ["demo"]

_LEARNED: Final = ("nsf", "vae", "gan", "flow-matching", "pixel-transformer")
_BASELINES: Final = ("independent", "gaussian-mixture", "kernel-density")
_MINUTES: Final = 0.55
_QUICK_STEPS: Final = 20
_QUICK_EVENTS: Final = 48

_OWN_DATA = """
The same on your own data:
  headwater inspect mydata.csv                  what a model will see (also: a folder of pictures, .npy, .npz, .parquet)
  headwater fit mydata.csv --model nsf          train; Ctrl-C saves, `headwater resume RUN` goes on
  headwater sample runs/mydata-nsf -n 1000 --out new.csv
  headwater score runs/mydata-nsf mydata.csv
  headwater compare runs/* --report report.html"""


def demo(
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"], help="folder for data, runs and report")] = Path("demo"),
    seed: Annotated[int, Parameter(help="seed of every run")] = 0,
    quick: Annotated[
        bool, Parameter(negative=(), help="a few steps per model: shows the way, not the quality")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Train one model of each family and three baselines on handwritten digits, and compare them.

    Real data, bundled with scikit-learn: 1,797 pictures of 8 x 8 pixels in 17 grey levels, offline.
    Takes about three minutes of training on two processor cores; writes a run folder per model and report.html.
    """
    import numpy as np

    from headwater.api import compare, fit
    from headwater.data import open_dataset
    from headwater.evaluation.report import write_report

    if out.exists() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty.", hint=f"Another folder: headwater demo --out {out}-2")
    progress = display(quiet=quiet)
    images, labels = _digits()
    out.mkdir(parents=True, exist_ok=True)
    data = out / "digits.npz"
    np.savez_compressed(data, x=images, y=labels)
    progress.note(f"data: {len(images)} handwritten digits, 8 x 8 pixels in 17 grey levels -> {data}")
    began = time.monotonic()
    runs: list[Run | Path] = []
    for number, name in enumerate(_LEARNED + _BASELINES, start=1):
        progress.note(f"[{number}/{len(_LEARNED + _BASELINES)}] {name}")
        budget = {"steps": _QUICK_STEPS} if quick else {"minutes": _MINUTES}
        try:
            runs.append(fit(data, name, out=out / "runs" / name, seed=seed, progress=progress, **budget))
        except HeadwaterError as error:
            if isinstance(error, MissingExtraError):
                raise
            progress.warn(f"{name} failed: {error}")
            runs.append(out / "runs" / name)
    say(f"trained in {time.monotonic() - began:.0f} s")
    dataset = open_dataset(data, progress=progress)
    leaderboard = compare(*runs, dataset=dataset, n=_QUICK_EVENTS if quick else None, progress=progress)
    say(str(leaderboard))
    report = out / "report.html"
    write_report(report, runs, leaderboard=leaderboard, dataset=dataset, progress=progress)
    say(f"report: {report}")
    say(_OWN_DATA)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtraError("scikit-learn", "all", "The demo's data") from None
    digits = load_digits()
    return digits.images.astype("uint8"), digits.target.astype("int64")
