"""How a model of rows carries noise into data: stages as panels and as an animation."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from headwater.evaluation.canvas import gif_bytes
from headwater.evaluation.plot_job import TEMPERATURE, PlotJob
from headwater.evaluation.way import moving_points, way_of_lines, way_of_points

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
    """``way.svg`` and ``way.gif``, as far as the model maps noise to events.

    The layers of a flow are shown for one or two elements; between layers of more, where elements have been permuted
    and mixed, two of them mean nothing: then noise grows instead.
    """
    stages, labels = job.stages(min(len(job.fake), _MOVING), STAGES, hidden=job.run.model.event.size <= 2)
    if not stages:
        job.left_out.append(f"way: {job.model_name} does not map noise to events and back.")
        return {}
    places, shown = _elements(job, names)
    kept = [stage.double().cpu().numpy()[:, places] for stage in stages]
    title, several = way_title(job, labels), len(places) == 2
    svg = way_of_points(kept, labels, shown, title) if several else way_of_lines(kept, labels, shown[0], title)
    files = {"way.svg": svg}
    if job.frames:
        files["way.gif"] = gif(moving_points(kept, labels, shown, title, job.frames))
    return files


def way_title(job: PlotJob, labels: Sequence[str]) -> str:
    """What the stages are."""
    if not labels[0].startswith(TEMPERATURE):
        return f"{job.title}: from noise to data"
    return f"{job.title}: noise of temperature T"


def gif(frames: Sequence[Image.Image]) -> bytes:
    """The frames as a GIF that dwells on the first and the last."""
    last = len(frames) - 1
    return gif_bytes(frames, lambda i: _HELD if i in (0, last) else _MILLISECONDS)
