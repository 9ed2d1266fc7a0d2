"""Parts by name: one line for each kind that ``codec.json`` may hold; nothing else is ever made from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.data.codecs.base import Part
from headwater.data.codecs.codes import Codes, GappedCodes
from headwater.data.codecs.constant import Constant
from headwater.data.codecs.kept import Kept, Points
from headwater.data.codecs.lattice import Lattice
from headwater.data.codecs.pixels import LinearPixels, LogitPixels, NativePixels
from headwater.data.codecs.race import Race
from headwater.data.codecs.standard import Continuous
from headwater.errors import CheckpointError, did_you_mean

__all__ = ["PARTS", "part_from_json"]

PARTS: dict[str, type[Part]] = {
    part.kind: part
    for part in (
        Codes,
        Constant,
        Continuous,
        GappedCodes,
        Kept,
        Lattice,
        LinearPixels,
        LogitPixels,
        NativePixels,
        Points,
        Race,
    )
}


def part_from_json(values: Mapping[str, Any]) -> Part:
    """The part that ``values`` describe.

    Raises:
        CheckpointError: no such part, or not what it needs.
    """
    kind = values.get("part") if isinstance(values, Mapping) else None
    if kind not in PARTS:
        raise CheckpointError(f"codec.json: unknown part {kind!r}.", hint=did_you_mean(str(kind), PARTS))
    return PARTS[kind].from_json(values)
