"""``headwater plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headwater.cli.display import display, say
from headwater.cli.judge import Split
from headwater.cli.options import Device, Out, Quiet

__all__ = ["plot"]


def plot(
    run: Path,
    /,
    *,
    out: Out = None,
    columns: Annotated[str, Parameter(help="which columns, by commas; default: the first three")] = "",
    split: Split = "test",
    n: Annotated[int, Parameter(name=["--number", "-n"], help="how many samples, and events of data at most")] = 2_000,
    seed: Annotated[int, Parameter(help="of samples and noise")] = 0,
    frames: Annotated[int, Parameter(help="frames of the animation; 0 for none")] = 60,
    device: Device = None,
    exist_ok: Annotated[bool, Parameter(negative=(), help="replace existing files")] = False,
    quiet: Quiet = False,
) -> None:
    """Draw a run: its density, its samples beside data, and how it carries noise into data.

    Written to a folder, by default RUN/plots: density.svg (one or two columns of numbers), samples.svg, way.svg and the
    animation way.gif: flows layer by layer, flow matching along its equation; more than two columns and pictures of a
    flow by noise that grows. Needs matplotlib.

    Args:
        run: Run folder.
    """
    from headwater.api import load
    from headwater.api import plot as plot_run

    wanted = tuple(name.strip() for name in columns.split(",") if name.strip())
    options = {"split": split, "n": n, "seed": seed, "frames": frames, "exist_ok": exist_ok}
    opened = load(run, device=device or "auto")
    found = plot_run(opened, out, columns=wanted, progress=display(quiet=quiet), **options)
    for path in found.written:
        say(str(path))
    for text in found.left_out:
        say(f"not drawn: {text}")
