"""From the supports of an event to its charts."""

from __future__ import annotations

import math

import torch

from headwater.bijections.charts.atlas import Atlas, Page
from headwater.bijections.charts.scalars import Angles, Intervals, Positives, Reals
from headwater.bijections.charts.simplex import LogRatio, StickBreaking
from headwater.bijections.charts.sphere import Sphere
from headwater.errors import UnsupportedEventError
from headwater.events import EventSpec, Segment, Support

__all__ = ["atlas_of"]


def atlas_of(event: EventSpec, *, soft: bool = False, log_ratio: bool = False) -> Atlas:
    """Charts of all elements: one for all reals, one for all angles, ..., one for each unit vector and composition.

    Args:
        event: Shape and supports.
        soft: Positive numbers by the softplus instead of the exponential function.
        log_ratio: Compositions by log-ratios instead of stick-breaking.

    Raises:
        UnsupportedEventError: an element is discrete.

    >>> atlas_of(EventSpec(shape=(3,), segments=(Segment(support=Support.SPHERE, size=3),))).coordinates
    (<Coordinate.CIRCLE: 'circle'>, <Coordinate.BOX: 'box'>)
    """
    alone: dict[Support, list[tuple[int, Segment]]] = {}
    pages: list[Page] = []
    for place, segment in event.slices():
        elements = tuple(range(place.start, place.stop))
        if segment.support.discrete:
            raise UnsupportedEventError(
                f"A flow needs continuous elements, got {segment.support.value} ({segment.name or 'no name'}).",
                hint="Encode the data with Codec.fit(dataset, Encoding.SUPPORTED), which dequantizes it.",
            )
        if segment.support is Support.SPHERE:
            pages.append(Page(Sphere(segment.size), elements))
        elif segment.support is Support.SIMPLEX:
            pages.append(Page((LogRatio if log_ratio else StickBreaking)(segment.size), elements))
        else:
            alone.setdefault(segment.support, []).extend((element, segment) for element in elements)
    return Atlas([_alone(support, own, soft=soft) for support, own in alone.items()] + pages)


def _alone(support: Support, members: list[tuple[int, Segment]], *, soft: bool) -> Page:
    elements = tuple(element for element, _ in members)
    if support is Support.REAL:
        return Page(Reals(len(elements)), elements)
    if support is Support.POSITIVE:
        return Page(Positives(len(elements), soft=soft), elements)
    turn = 2 * math.pi if support is Support.CIRCLE else 1.0
    low = torch.tensor([0.0 if s.low is None else s.low for _, s in members], dtype=torch.float64)
    high = torch.tensor([turn if s.high is None else s.high for _, s in members], dtype=torch.float64)
    return Page((Angles if support is Support.CIRCLE else Intervals)(low, high), elements)
