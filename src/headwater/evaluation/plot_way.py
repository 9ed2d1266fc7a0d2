"""How a model of rows carries noise into data: stages as panels and as an animation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from PIL import Image

from headwater.evaluation.canvas import gif_bytes
from headwater.evaluation.plot_job import PlotJob
from headwater.evaluation.way import moving_points, titles, way_of_lines, way_of_points
from headwater.models.base import Gradual

__all__ = ["STAGES", "draw_way", "gif"]

STAGES = 6
_MOVING = 1_500
_MILLISECONDS, _HELD = 60, 1_200


def _elements(job: PlotJob, names: Sequence[str]) -> tuple[list[int], list[str]]:
    """Which elements of an event to show: the first of each column, at most two."""
    segments = [
        segment.name for place, segment in job.run.model.event.slices() for _ in range(place.stop - place.start)
    ]
    places = [segments.index(name) for name in names if name in segments][:2]
    places = places or list(range(min(2, len(segments))))
    if len(places) == 1 and len(segments) > 1:
        places.append(next(i for i in range(len(segments)) if i != places[0]))
    return places, [f"{segments[i] or f'element {i}'}, encoded" for i in places]


def draw_way(job: PlotJob, names: Sequence[str]) -> dict[str, bytes]:
    """``way.svg`` and ``way.gif``, as far as the model has stages."""
    model = job.run.model
    if not isinstance(model, Gradual):
        job.left_out.append(f"way: {job.model_name} has no stages from noise to data.")
        return {}
    z, context = job.noise(min(len(job.fake), _MOVING))
    with torch.no_grad():
        stages = [stage.double().cpu().numpy() for stage in model.stages(z, STAGES, context=context)]
    places, shown = _elements(job, names)
    kept = [stage[:, places] for stage in stages]
    labels = titles(len(kept), events=model.stages_are_events)
    drawn: Callable[[], bytes] = (
        (lambda: way_of_points(kept, labels, shown, job.title))
        if len(places) == 2
        else (lambda: way_of_lines(kept, labels, shown[0], job.title))
    )
    files = {"way.svg": drawn()}
    if job.frames:
        files["way.gif"] = gif(moving_points(kept, labels, shown, job.title, job.frames))
    return files


def gif(frames: Sequence[Image.Image]) -> bytes:
    """The frames as a GIF that dwells on the first and the last."""
    last = len(frames) - 1
    return gif_bytes(frames, lambda i: _HELD if i in (0, last) else _MILLISECONDS)
