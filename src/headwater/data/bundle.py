"""Which of several arrays are events, labels and splits: by their names, as people name them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from headwater.errors import DataError, did_you_mean
from headwater.settings import DataSettings

__all__ = ["Choice", "choose"]

_SPLIT = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
}
_SPLIT |= {"test": "test", "testing": "test"}
_EVENTS = ("x", "data", "images", "image", "samples", "features", "events", "arr_0")
_LABELS = ("y", "label", "labels", "target", "targets", "classes")
Shape = TypeVar("Shape", bound=tuple[int, ...])


@dataclass(frozen=True)
class Choice:
    """Names of the arrays that hold events, by split ('' for no split), and of their labels."""

    events: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)


def choose(shapes: Mapping[str, tuple[int, ...]], settings: DataSettings, where: str) -> Choice:
    """Choose among named arrays of these shapes.

    Raises:
        DataError: no array, or no unique one, can be the events.
    """
    events = _events(shapes, settings, where)
    if settings.label == "none":
        return Choice(events)
    labels = {split: name for split in events if (name := _label(shapes, settings, split, events[split])) is not None}
    if settings.label is not None and len(labels) != len(events):
        raise DataError(
            f"{where}: there is no array {settings.label!r} with a label for each event.",
            hint=did_you_mean(settings.label, shapes),
        )
    return Choice(events, labels if len(labels) == len(events) else {})


def _parts(name: str) -> tuple[str, str]:
    """``x_train`` is the array ``x`` of split ``train``; ``test`` is the array '' of that split."""
    words = re.split(r"[_\-. ]", name.lower())
    splits = [_SPLIT[word] for word in words if word in _SPLIT]
    return "_".join(word for word in words if word not in _SPLIT), splits[0] if len(splits) == 1 else ""


def _events(shapes: Mapping[str, tuple[int, ...]], settings: DataSettings, where: str) -> dict[str, str]:
    arrays = {name: _parts(name) for name, shape in shapes.items() if shape}
    if settings.key is not None:
        wanted = settings.key.lower()
        if settings.key in shapes:
            return {"": settings.key}
        split = {part: name for name, (base, part) in arrays.items() if base == wanted and part}
        if "train" in split:
            return split
        raise DataError(f"{where}: there is no array {settings.key!r}.", hint=did_you_mean(settings.key, shapes))
    for base in (*_EVENTS, ""):
        split = {part: name for name, (own, part) in arrays.items() if own == base and part}
        if "train" in split:
            return split
    for base in _EVENTS:
        plain = [name for name, (own, part) in arrays.items() if own == base and not part]
        if len(plain) == 1:
            return {"": plain[0]}
    others = [name for name, (base, _) in arrays.items() if not _is_label(base)]
    if len(others) == 1:
        return {"": others[0]}
    listing = ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:12]) or "no arrays"
    raise DataError(
        f"{where}: cannot tell which array holds the events: {listing}.", hint="Say which: --set data.key=NAME"
    )


def _is_label(base: str) -> bool:
    return base in _LABELS or base.startswith("y_")


def _label(shapes: Mapping[str, tuple[int, ...]], settings: DataSettings, split: str, events: str) -> str | None:
    rows = shapes[events][0]
    wanted = settings.label and (settings.label, _parts(settings.label)[0])
    for name, shape in shapes.items():
        base, part = _parts(name)
        fits = part == split and shape in ((rows,), (rows, 1)) and name != events
        if fits and (name in wanted or base == wanted[1] if wanted else _is_label(base)):
            return name
    return None
