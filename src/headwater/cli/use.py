"""``headwater sample`` and ``headwater score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headwater.cli.display import display, say
from headwater.cli.options import Device, Out, Quiet, Set

__all__ = ["sample", "score"]


def sample(
    run: Path,
    /,
    *,
    n: Annotated[int, Parameter(name=["--number", "-n"], help="how many")] = 16,
    out: Out = None,
    label: Annotated[str | None, Parameter(help="label to sample; default: labels as frequent as in the data")] = None,
    seed: Annotated[int, Parameter(help="another seed, other samples; sample i never depends on -n")] = 0,
    batch_size: Annotated[int | None, Parameter(help="samples at a time; changes memory, never the samples")] = None,
    device: Device = None,
    set_: Set = (),
    exist_ok: Annotated[bool, Parameter(negative=(), help="replace an existing file")] = False,
    quiet: Quiet = False,
) -> None:
    """Create new data: PNG for pictures, CSV or Parquet for tables, NPZ or NPY for arrays.

    The file's ending chooses the format; without --out the samples go to the run's own folder.
    Options of the model are given by --set, such as --set guidance=2 or --set temperature=0.8.

    Args:
        run: Run folder.
    """
    from headwater.api import load
    from headwater.config import apply_assignments
    from headwater.runs.export import write_samples

    opened = load(run, device=device or "auto")
    options = apply_assignments({}, set_)
    samples = opened.sample(n, label=label, seed=seed, batch_size=batch_size, progress=display(quiet=quiet), **options)
    recipe = opened.recipe(n=n, label=label, seed=seed, **options)
    written = write_samples(opened, samples, out, recipe=recipe, exist_ok=exist_ok)
    say(f"{n} samples: {written}")


def score(
    run: Path,
    data: Path,
    /,
    *,
    out: Out = None,
    draws: Annotated[
        int | None, Parameter(help="draws of noise per event where a bound needs them; more is tighter")
    ] = None,
    seed: Annotated[int, Parameter(help="of the draws")] = 0,
    batch_size: Annotated[int | None, Parameter(help="events at a time; changes memory, never the scores")] = None,
    device: Device = None,
    set_: Set = (),
    exist_ok: Annotated[bool, Parameter(negative=(), help="replace an existing file")] = False,
    quiet: Quiet = False,
) -> None:
    """Say how likely each datum is under a run: log-likelihood in the data's own units, with its kind.

    Args:
        run: Run folder.
        data: File or folder of the same kind as the run's data.
    """
    from headwater.api import load
    from headwater.config import apply_assignments
    from headwater.runs.export import write_scores

    opened = load(run, device=device or "auto")
    progress = display(quiet=quiet)
    raw, labels = opened.read(data, progress=progress)
    budget = apply_assignments({}, set_)
    result = opened.score_raw(raw, labels, draws=draws, seed=seed, batch_size=batch_size, progress=progress, **budget)
    mean = result.value.double().mean().item()
    say(f"mean log-likelihood: {mean:.4f} nats per event ({result.kind}), {len(result.value)} events")
    if out is not None:
        say(f"scores: {write_scores(result, out, recipe=opened.recipe(data=str(data), **budget), exist_ok=exist_ok)}")
