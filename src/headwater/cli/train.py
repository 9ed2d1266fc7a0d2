"""``headwater fit`` and ``headwater resume``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headwater.cli.display import display, say
from headwater.cli.options import ConfigFile, Device, Epochs, Label, Minutes, Out, Quiet, Seed, Set, Steps

__all__ = ["fit", "resume"]


def fit(
    data: Annotated[str | None, Parameter(help="file or folder; may stand in the config instead")] = None,
    /,
    *,
    model: Annotated[str | None, Parameter(name=["--model", "-m"], help="see: headwater models")] = None,
    out: Out = None,
    label: Label = None,
    steps: Steps = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    seed: Seed = None,
    device: Device = None,
    config: ConfigFile = None,
    set_: Set = (),
    dry_run: Annotated[bool, Parameter(negative=(), help="show shapes, memory, disk and time; write nothing")] = False,
    exist_ok: Annotated[bool, Parameter(negative=(), help="accept a run folder that is not empty")] = False,
    quiet: Quiet = False,
) -> None:
    """Learn the distribution of your data with one model; writes a run folder.

    Ctrl-C once finishes the step, saves and prints the command that resumes; twice stops at once.
    """
    from headwater.api import gather
    from headwater.errors import UsageError
    from headwater.pipeline import is_main_process, prepare, rehearse, train

    given = gather(
        model,
        config=config,
        assignments=set_,
        explicit={
            "data.path": data,
            "data.label": label,
            "training.steps": steps,
            "training.epochs": epochs,
            "training.minutes": minutes,
            "seed": seed,
            "device": device,
        },
    )
    path = given.get("data", {}).get("path")
    if path is None:
        raise UsageError(
            "Expected data to learn from, got none.", hint="headwater fit mydata.csv   (or: headwater demo)"
        )
    prepared = prepare(path, given, display(quiet=quiet))
    if dry_run:
        say(str(rehearse(prepared)))
        return
    run = train(prepared, out=out, exist_ok=exist_ok)
    if is_main_process():
        shown = run.path.relative_to(Path.cwd()) if run.path.is_relative_to(Path.cwd()) else run.path
        say(f"run: {shown}")
        say(f"next: headwater sample {shown} -n 100   |   headwater evaluate {shown}")


def resume(
    run: Path,
    /,
    *,
    steps: Steps = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    allow_data_change: Annotated[bool, Parameter(negative=(), help="go on although the data has changed")] = False,
    quiet: Quiet = False,
) -> None:
    """Go on with an interrupted run, bit for bit, or with a finished one under a larger budget.

    Args:
        run: Run folder.
    """
    from headwater.api import resume as resume_run

    finished = resume_run(
        run,
        steps=steps,
        epochs=epochs,
        minutes=minutes,
        allow_data_change=allow_data_change,
        progress=display(quiet=quiet),
    )
    say(f"run: {finished.path}")
