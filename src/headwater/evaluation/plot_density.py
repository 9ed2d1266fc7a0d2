"""The density of a run over one or two columns, in the data's own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from headwater.evaluation import plot_rows
from headwater.evaluation.columns import Column
from headwater.evaluation.plot_job import PlotJob
from headwater.evaluation.subject import Rows, score
from headwater.models.base import Density
from headwater.progress import SilentProgress
from headwater.runs.sampling import model_device, model_dtype

if TYPE_CHECKING:
    from headwater.runs.run import Run

__all__ = ["draw_density"]

_MOST_CLASSES = 16


def draw_density(
    job: PlotJob,
    every: Sequence[Column],
    columns: Sequence[Column],
    real: Float[np.ndarray, "n d"] | None,
    fake: Float[np.ndarray, "m d"],
) -> bytes | None:
    """The density as SVG, or None, with the reason among what is left out."""
    reason = _why_no_density(job, len(every))
    if reason:
        job.left_out.append(f"density: {reason}")
        return None
    types = [column.type for column in job.schema.kept for _ in range(column.size)]
    names = [column.name for column in columns]
    shown = fake if real is None else real
    reach = [
        plot_rows.extent(shown[:, i], open_ended=types[0 if len(types) == 1 else i] == "real")
        for i in range(len(names))
    ]
    log_prob, kind = _scorer(job)
    if len(names) == 1:
        return plot_rows.density_curve(names[0], real, log_prob, reach[0], kind, job.title)
    return plot_rows.density_map(names, real, log_prob, reach, kind, job.title)


def _why_no_density(job: PlotJob, size: int) -> str:
    if not isinstance(job.run.model, Density):
        return f"{job.model_name} has none."
    if size > 2:
        return f"rows of {size} columns; it is drawn for one or two."
    if any(c.type not in ("real", "positive", "interval") or c.missing for c in job.schema.kept):
        return "it is drawn for columns of real numbers without gaps."
    context = job.run.codec.context
    if context.size and not 0 < len(context.classes) <= _MOST_CLASSES:
        return "the model is conditioned on a number, or on too many classes to sum over."
    return ""


def _scorer(job: PlotJob) -> tuple[plot_rows.LogProb, str]:
    """``log p`` of raw points, over labels by their shares in training where the model is conditional; and its kind."""
    run, classes = job.run, len(job.run.codec.context.classes)
    device = model_device(run.codec)
    dtype = run.codec.decode(torch.zeros(1, *run.codec.event.shape, device=device)).cpu().numpy().dtype
    kinds: list[str] = []

    def one(points: Float[np.ndarray, "n d"], label: int | None) -> Tensor:
        raw: Shaped[np.ndarray, "n *shape"] = points.reshape(-1, *run.codec.schema.shape).astype(dtype)
        labels = None if label is None else torch.full((len(raw),), label)
        found = score(run, Rows(raw, labels), seed=job.seed, progress=SilentProgress())
        kinds.append(found.kind)
        return found.value.double()

    if not classes:
        kind = _kind_of(run)
        return lambda points: one(points, None).numpy(), kind
    drawn = run.labels(None, 4_096, seed=0)
    counts = torch.ones(classes) if drawn is None else torch.bincount(drawn, minlength=classes)
    log_share = (counts.double() / counts.sum()).log()

    def mixed(points: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        parts = [one(points, c) + log_share[c] for c in range(classes) if counts[c]]
        return torch.logsumexp(torch.stack(parts), 0).numpy()

    return mixed, f"{_kind_of(run)}, over labels"


def _kind_of(run: Run) -> str:
    event = torch.zeros(1, *run.codec.event.shape, device=model_device(run.codec), dtype=model_dtype(run.codec))
    raw = run.codec.decode(event).cpu()
    labels = torch.zeros(1, dtype=torch.int64) if run.codec.context.size else None
    return score(run, Rows(raw.numpy(), labels), seed=0, progress=SilentProgress()).kind
