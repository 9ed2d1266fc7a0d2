"""Another alignment of the same target: the columns of the positions that a model knows, by number or by width."""

from __future__ import annotations

from typing import Any

import numpy as np

from headwater.data.alignments.info import GAP, UNKNOWN, Alignment
from headwater.data.alignments.letters import ILLEGAL, to_codes
from headwater.data.alignments.records import Record, open_records
from headwater.data.alignments.rows import read_rows
from headwater.data.alignments.survey import match_length, survey
from headwater.data.alignments.target import Target, read_target
from headwater.data.limits import Limits
from headwater.errors import DataError
from headwater.progress import Progress

__all__ = ["declared_target", "read_as_declared"]


def declared_target(record: Record, where: str, declared: Alignment, *, strip: bool) -> Target:
    """The columns of the ``declared`` positions.

    By number, where ``record`` is the target: its residues at those positions are the declared ones. Else by width:
    rows of one column for each position, or for each residue of the target.

    Raises:
        DataError: neither fits; the first difference is named.
    """
    width = match_length(record.sequence) if strip else len(record.sequence)
    wanted = np.array(declared.positions)
    problem = ""
    codes = to_codes(record.sequence)
    if not ((codes == ILLEGAL).any() or (codes == GAP).all()):
        target = read_target(record, where, strip=strip, columns="all")
        column = dict(zip(target.positions.tolist(), target.columns.tolist(), strict=True))
        problem = _difference(target, declared)
        if not problem:
            return _target(declared, target.width, np.array([column[p] for p in declared.positions]))
    if width == len(wanted):
        return _target(declared, width, np.arange(width))
    if width == len(declared.sequence):
        return _target(declared, width, wanted - declared.start)
    raise DataError(
        f"{where}: is not aligned to {declared.name}: {record.name!r} {problem or 'has no residues'}, and rows have"
        f" {width} columns, not {len(wanted)} (modelled positions) or"
        f" {len(declared.sequence)} (residues of the target).",
        hint="Put the target's row first, or give rows of the modelled positions only.",
    )


def _difference(target: Target, declared: Alignment) -> str:
    """What the row lacks of the declared positions; empty if nothing."""
    numbers = set(target.positions.tolist())
    for position, residue in zip(declared.positions, declared.wild_type, strict=True):
        if position not in numbers:
            return f"has no residue {position}"
        own = target.sequence[position - target.start]
        if own != residue:
            return f"has {own} at position {position} where {declared.name} has {residue}"
    return ""


def _target(declared: Alignment, width: int, columns: np.ndarray) -> Target:
    return Target(
        declared.name, declared.sequence, declared.start, width, columns, np.array(declared.positions), left_out={}
    )


def read_as_declared(data: Any, declared: Alignment, limits: Limits, progress: Progress) -> np.ndarray:
    """Every sequence of ``data`` as codes ``(rows, positions)``, none left out; unknown residues are missing ones.

    Raises:
        DataError: a record that cannot be read, or rows that are not aligned to the target.
    """
    source = open_records(data, limits)
    found = survey(source, None, None, limits)
    assert found.focus is not None
    strip = found.strips_insertions("auto", source.suffix)
    target = declared_target(found.focus, source.where, declared, strip=strip)
    with progress.phase("Reading sequences", total=found.records, unit="sequences") as phase:
        rows = read_rows(
            source, found.records, target.columns, target.width, strip=strip, fragments=1.0, focus=-1, phase=phase
        )
    if rows.bad.count:
        record, reason = rows.bad.first[0]
        raise DataError(
            f"{source.where}: {rows.bad.count} of {found.records} records cannot be read; the first: {record}"
            f" {reason}.",
            hint="Mend or remove them.",
        )
    rows.codes[rows.codes == UNKNOWN] = GAP
    return rows.codes
