"""Which part takes which columns: alike columns share one part, so that a codec is a few tensor operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from headwater.data.codecs.base import Part
from headwater.data.codecs.fit import (
    fit_codes,
    fit_constant,
    fit_continuous,
    fit_kept,
    fit_lattice,
    fit_points,
    fit_race,
    wild,
)
from headwater.data.codecs.pixels import ALPHA, LinearPixels, LogitPixels, NativePixels
from headwater.data.schema import Column, Schema
from headwater.errors import UnsupportedEventError
from headwater.events import Encoding, Support

__all__ = ["SMALL", "Member", "plan_columns", "plan_pixels"]

SMALL = 256
"""Most values of a column of whole numbers that a model sees as a discrete one."""

_MOST_EMBEDDED = 128


@dataclass(frozen=True)
class Member:
    """A stored column with its description and its training values."""

    index: int
    column: Column
    values: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """The values that are not missing."""
        return self.values[~np.isnan(self.values)]


Fit = Callable[[list[Member], "Group"], Part]


@dataclass(frozen=True)
class Group:
    """What members of one part have in common; equal groups are merged."""

    fit: Fit = field(compare=True)
    missing: bool = False
    support: str = ""
    classes: int = 0
    reads: Literal["value", "missing"] = "value"
    point: str = ""
    gapped: bool = False


def plan_pixels(schema: Schema, encoding: Encoding) -> Part:
    """The part that takes whole pictures."""
    assert schema.levels is not None
    size = int(np.prod(schema.shape))
    columns = range(size)
    if encoding is Encoding.NATIVE:
        return NativePixels(columns, levels=schema.levels, size=size)
    if encoding is Encoding.SCALED:
        return LinearPixels(columns, levels=schema.levels, size=size)
    return LogitPixels(columns, levels=schema.levels, size=size, alpha=ALPHA)


def plan_columns(schema: Schema, values: np.ndarray, encoding: Encoding, categorical: str) -> list[Part]:
    """Parts for the columns of a table or array, fitted to the training ``values`` ``(rows, elements)``."""
    groups: dict[Group, list[Member]] = {}
    for member in _members(schema, values):
        for group in _groups(member, schema, encoding, categorical):
            groups.setdefault(group, []).append(member)
    return [group.fit(members, group) for group, members in groups.items()]


def _members(schema: Schema, values: np.ndarray) -> Iterator[Member]:
    index = 0
    for column in schema.kept:
        for _ in range(column.size):
            yield Member(index, column, values[:, index])
            index += 1


def _groups(member: Member, schema: Schema, encoding: Encoding, categorical: str) -> Iterator[Group]:
    """The part of the column's values and, where values can be missing and no class says so, its indicator."""
    native, column = encoding is Encoding.NATIVE, member.column
    group = _discrete(column, native, categorical) or _shaped(column, encoding) or _continuous(member, schema)
    yield group
    says_so = group.fit is fit_race or (group.fit is fit_codes and group.support == Support.CATEGORICAL)
    if column.missing and not says_so:
        flags = (
            Group(fit_codes, False, Support.BINARY, 2, "missing")
            if native
            else Group(fit_lattice, False, "flag", 2, "missing")
        )
        yield flags


def _discrete(column: Column, native: bool, categorical: str) -> Group | None:
    cells, missing = column.cardinality, column.missing
    if column.type == "constant":
        return Group(fit_constant)
    if column.type in ("integer", "ordinal", "datetime"):
        small = cells is not None and (cells <= SMALL or column.type == "ordinal")
        if native and small:
            return Group(fit_codes, missing, Support.INTEGER, cells or 0)
        return Group(fit_lattice, missing, "bounded" if small else "open")
    if column.type not in ("binary", "categorical"):
        return None
    assert cells is not None
    if native and missing:
        return Group(fit_codes, missing, Support.CATEGORICAL, cells + 1)
    if native:
        binary = column.type == "binary"
        kind = Support.BINARY if binary else Support.CATEGORICAL
        return Group(fit_codes, missing, kind, cells, gapped=column.gap)
    if cells > 2 and categorical == "embed" and cells <= _MOST_EMBEDDED:
        return Group(fit_race, missing, "", cells + missing)
    return Group(fit_lattice, missing, "ordered" if cells > 2 else "bounded", cells if cells > 2 else 0)


def _continuous(member: Member, schema: Schema) -> Group:
    column = member.column
    curved = column.map == "quantile" or (column.map == "auto" and schema.kind == "table")
    bent = curved or wild(member.present)
    support = "interval" if column.type == "circle" else column.type  # cut open, where a model knows no circles
    return Group(fit_continuous, column.missing, support, int(bent))


def _shaped(column: Column, encoding: Encoding) -> Group | None:
    """Bounded, closed and joint supports, for a model that knows them."""
    if column.type in ("sphere", "simplex"):
        if encoding is Encoding.SUPPORTED:
            return Group(fit_points, support=column.type, point=column.point[1])
        raise UnsupportedEventError(
            f"Column {column.name!r} is of type {column.type}, which the encoding {encoding.value!r} has no place for.",
            hint=f"Choose the model manifold, or read it as reals: --set data.columns.{column.name}.type=real",
        )
    if column.type in ("interval", "circle") and encoding is Encoding.SUPPORTED:
        return Group(fit_kept, column.missing, column.type)
    return None
