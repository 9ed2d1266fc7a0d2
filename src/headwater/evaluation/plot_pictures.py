"""Pictures as they come out of noise, beside samples and data."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from PIL import Image

from headwater.evaluation.canvas import new_figure, svg_bytes
from headwater.evaluation.plot_job import PlotJob
from headwater.evaluation.plot_way import STAGES, gif, way_title
from headwater.evaluation.subject import decode
from headwater.runs.sheets import make_grid

__all__ = ["draw_pictures"]

_TILES = 16
_ROWS = 6
_TILE = 96  # least pixels per side in the animation

Pictures = Float[np.ndarray, "_ channels height width"]


def draw_pictures(job: PlotJob) -> dict[str, bytes]:
    """Pictures: sheets of samples and data, and pictures as they come out of noise."""
    sides = [(job.fake, "samples")] if job.real is None else [(job.real, f"data, {job.split}"), (job.fake, "samples")]
    figure = new_figure(4.2 * len(sides), 4.5)
    for i, (rows, name) in enumerate(sides):
        axes = figure.add_subplot(1, len(sides), i + 1)
        _show(axes, make_grid(_grey(job, rows.raw[:64]), columns=8))
        axes.set_title(name)
    figure.suptitle(job.title, fontsize=11, fontweight="bold", x=0.01, ha="left")
    files = {"samples.svg": svg_bytes(figure)}
    job.left_out.append("density: events are pictures.")
    stages, labels = _growing(job, STAGES)
    if not stages:
        job.left_out.append(f"way: {job.model_name} does not map noise to pictures and back.")
        return files
    table = np.stack([stage[:_ROWS] for stage in stages], axis=1).reshape(-1, *stages[0].shape[1:])
    figure = new_figure(1.1 * len(stages) + 0.4, 1.1 * min(_ROWS, len(stages[0])) + 0.8)
    axes = figure.add_subplot()
    sheet = make_grid(table, columns=len(stages))
    _show(axes, sheet)
    width = sheet.width / len(stages)
    axes.set_xticks([(i + 0.5) * width for i in range(len(stages))], labels)
    figure.suptitle(way_title(job, labels), fontsize=11, fontweight="bold", x=0.01, ha="left")
    files["way.svg"] = svg_bytes(figure)
    if job.frames:
        path, _ = _growing(job, job.frames)
        scale = max(1, _TILE // max(path[0].shape[2:]))
        files["way.gif"] = gif([make_grid(stage, columns=4, scale=scale).convert("RGB") for stage in path])
    return files


def _growing(job: PlotJob, count: int) -> tuple[list[Pictures], list[str]]:
    events, labels = job.stages(_TILES, count, hidden=False)
    shape = job.run.model.event.shape
    return [_grey(job, decode(job.run, event.reshape(-1, *shape))) for event in events], labels


def _grey(job: PlotJob, raw: Shaped[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n channels height width"]:
    pixels = raw.astype(np.float64) / ((job.schema.levels or 256) - 1)
    return pixels[:, :1] if pixels.shape[1] == 2 else pixels


def _show(axes: Any, picture: Image.Image) -> None:
    axes.imshow(np.asarray(picture.convert("RGB")), interpolation="nearest", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
