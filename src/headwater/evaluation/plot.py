"""``headwater plot``: a run's density, its samples, and how it carries noise into data, as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from headwater.errors import DivergenceError, HeadwaterError, UsageError, did_you_mean
from headwater.evaluation import plot_rows
from headwater.evaluation.canvas import style
from headwater.evaluation.plot_density import draw_density
from headwater.evaluation.plot_job import PlotJob
from headwater.evaluation.plot_pictures import draw_pictures
from headwater.evaluation.plot_way import draw_way
from headwater.evaluation.subject import Rows, choose_rows, columns_of, draw, take
from headwater.progress import Progress, SilentProgress
from headwater.runs.files import reporting, write_atomic

if TYPE_CHECKING:
    from headwater.data.dataset import Dataset
    from headwater.runs.run import Run

__all__ = ["Plots", "plot_run"]


@dataclass(frozen=True)
class Plots:
    """What was written, and what was not and why."""

    written: tuple[Path, ...]
    left_out: tuple[str, ...]


def plot_run(
    run: Run,
    out: Path | str | None = None,
    *,
    columns: Sequence[str] = (),
    split: str = "test",
    n: int = 2_000,
    seed: int = 0,
    frames: int = 60,
    dataset: Dataset | None = None,
    exist_ok: bool = False,
    progress: Progress | None = None,
) -> Plots:
    """Draw a run: ``density.svg``, ``samples.svg``, ``way.svg`` and ``way.gif``, as far as its model allows.

    The same run and arguments give the same bytes.

    Args:
        run: Of any model.
        out: Folder; None: ``plots`` in the run's own.
        columns: Of tables and arrays: which to show; by default the first three.
        split: Whose data is shown beside samples.
        n: How many samples, and events of data at most.
        seed: Of samples and noise.
        frames: Of the animation; 0 for none.
        dataset: The data, where it was given in Python; by default it is read again.
        exist_ok: Replace files of these names.
        progress: Is warned where the data cannot be read.

    Raises:
        UsageError: a column that there is not; a folder that holds such files; fewer than 2 samples.
        MissingExtraError: matplotlib is not installed.
    """
    report = progress or SilentProgress()
    target = Path(out) if out is not None else run.folder.path / "plots"
    if n < 2 or frames < 0 or frames == 1:
        raise UsageError(f"Expected n >= 2 and frames = 0 or >= 2, got n={n}, frames={frames}.")
    _refuse(target, exist_ok=exist_ok)
    real = _real(run, dataset, split, n, seed, report)
    labels = run.labels(None, n, seed=seed)
    fake, _ = draw(run, n, labels, seed=seed, progress=report)
    job = PlotJob(run, split, seed, frames, real, fake)
    with style():
        files = draw_pictures(job) if run.codec.schema.kind == "images" else _rows(job, columns)
    with reporting(target, "Making the folder"):
        target.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomic(target / name, content)
    return Plots(tuple(target / name for name in files), tuple(job.left_out))


def _refuse(target: Path, *, exist_ok: bool) -> None:
    taken = [name for name in ("density.svg", "samples.svg", "way.svg", "way.gif") if (target / name).exists()]
    if taken and not exist_ok:
        raise UsageError(f"{target / taken[0]} exists already.", hint="Choose another --out, or replace: --exist-ok.")


def _real(run: Run, dataset: Dataset | None, split: str, n: int, seed: int, progress: Progress) -> Rows | None:
    try:
        found = dataset if dataset is not None else run.dataset(progress=progress)
    except HeadwaterError as error:
        progress.warn(f"Plots show samples only, since the data cannot be read: {error.message}")
        return None
    return take(found, choose_rows(found, split, n, seed))


def _flat(rows: Rows) -> Float[np.ndarray, "n d"]:
    return rows.raw.reshape(len(rows), -1).astype(np.float64)


def _rows(job: PlotJob, wanted: Sequence[str]) -> dict[str, bytes]:
    """Tables and arrays."""
    every = columns_of(job.schema)
    chosen = _chosen([column.name for column in every], wanted)
    columns = [every[i] for i in chosen]
    real, fake = None if job.real is None else _flat(job.real)[:, chosen], _flat(job.fake)[:, chosen]
    files: dict[str, bytes] = {}
    density = None
    try:
        density = draw_density(job, every, columns, real, fake)
    except DivergenceError as error:
        job.left_out.append(f"density: {error.message}")
    if density is not None:
        files["density.svg"] = density
    if len(columns) == 2 and not any(column.classes for column in columns):
        files["samples.svg"] = plot_rows.samples_beside([c.name for c in columns], real, fake)
    else:
        files["samples.svg"] = plot_rows.pairs(columns, real, fake, job.title)
    return files | draw_way(job, [column.name for column in columns])


def _chosen(names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    if not wanted:
        return list(range(min(3, len(names))))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise UsageError(f"There is no column {unknown[0]!r}.", hint=did_you_mean(unknown[0], names))
    return [names.index(name) for name in dict.fromkeys(wanted)]
