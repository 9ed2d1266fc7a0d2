"""The events that a flow of reals takes."""

from __future__ import annotations

from headwater.errors import UnsupportedEventError
from headwater.events import EventSpec

__all__ = ["require_reals"]


def require_reals(event: EventSpec) -> None:
    """
    Raises:
        UnsupportedEventError: an element of the event is not an unbounded real.
    """
    if not event.is_real:
        raise UnsupportedEventError(
            f"A flow needs events of unbounded reals, got {event}.",
            hint="Encode the data with Codec.fit(dataset, Encoding.REAL).",
        )
