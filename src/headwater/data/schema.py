"""What the data is: its kind, shape and columns. Written by ``inspect``, edited by people, accepted back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from headwater.config import Config
from headwater.data.alignments.info import Alignment
from headwater.errors import DataError, did_you_mean

__all__ = ["CONTINUOUS", "Column", "ColumnType", "Label", "Schema"]

ColumnType = Literal[
    "real", "positive", "interval", "circle", "sphere", "simplex",
    "integer", "ordinal", "binary", "categorical", "datetime", "constant", "drop",
]  # fmt: skip
CONTINUOUS = ("real", "positive", "interval", "circle", "sphere", "simplex")
"""Types whose values are no lattice."""

_MAX_BYTES = 64_000_000


class Column(Config):
    """A column of a table, or a run of ``size`` alike elements of an array.

    Values are stored as float64: numbers as they are, categories as their place in
    ``categories``, dates as seconds since 1970 (UTC), missing ones as NaN.
    """

    name: str = Field(description="its name")
    type: ColumnType = Field("real", description="decides support and codec; 'drop' leaves it out")
    size: int = Field(1, ge=1, description="how many consecutive elements of an array it stands for")
    low: float | None = Field(None, description="least value: integer, interval, datetime; where a circle is cut")
    high: float | None = Field(None, description="greatest value: integer, interval, datetime; one turn on: circle")
    step: float = Field(1.0, gt=0, description="distance of neighbouring values: integer, datetime (seconds)")
    categories: tuple[str, ...] = Field((), description="values, as text: categorical, binary; in order: ordinal")
    group: str = Field("", description="which unit vector or composition it is a part of: sphere, simplex")
    missing: bool = Field(False, description="whether values may be missing")
    missing_tokens: tuple[str, ...] = Field((), description="further texts that stand for a missing value")
    unknown: Literal["error", "other"] = Field("error", description="what an unseen category becomes")
    map: Literal["auto", "standard", "quantile"] = Field("auto", description="how a real column is made normal")
    decimals: int | None = Field(None, ge=0, le=9, description="decimals that all values have, kept in samples")
    gap: bool = Field(False, description="whether the last category stands for a missing value: gaps of an alignment")
    source: str = Field("", description="type it had where it came from, and has again in samples")
    distinct: int | None = Field(None, ge=0, description="distinct values seen, at least")

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Column:
        ends = self.low is not None and self.high is not None and self.low < self.high
        if self.type in ("interval", "circle") and not ends:
            raise ValueError(f"column {self.name!r} of type {self.type} needs low < high")
        if self.type in ("sphere", "simplex") and self.missing:
            raise ValueError(
                f"column {self.name!r} of type {self.type} cannot have missing values: leave those rows out"
            )
        if self.type == "integer" and self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"column {self.name!r} needs low <= high")
        if self.gap and (self.type != "categorical" or len(self.categories) < 2 or self.missing):
            raise ValueError(f"column {self.name!r} with gaps must be categorical, and its last category is the gap")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"column {self.name!r} names a category twice")
        return self

    @property
    def point(self) -> tuple[str, str]:
        """What columns that form one unit vector or composition have in common."""
        return self.type, self.group or (self.name if self.size > 1 else "")

    @property
    def cardinality(self) -> int | None:
        """Number of values it can take, where that is finite and declared."""
        if self.categories:
            return len(self.categories)
        if self.type == "binary":
            return 2
        if self.type in ("integer", "datetime") and self.low is not None and self.high is not None:
            return round((self.high - self.low) / self.step) + 1
        return None


class Label(Config):
    """What events are labelled with: classes, or a number."""

    name: str = Field("label", description="column, array or folder level it came from")
    classes: tuple[str, ...] = Field((), description="names of the classes; empty for a number")
    source: str = Field("", description="type it had where it came from")


class Schema(Config):
    """The data as a reader stores it: ``(rows, *shape)`` of ``dtype``."""

    version: Literal[1] = Field(1, description="of this file's layout")
    kind: str = Field(description="table, images, arrays or alignment")
    shape: tuple[int, ...] = Field(description="of one stored row")
    dtype: str = Field("float64", description="of the stored elements")
    columns: tuple[Column, ...] = Field((), description="columns of a table, runs of an array; none for images")
    levels: int | None = Field(None, ge=2, le=65536, description="values a pixel can take; images only")
    layout: str = Field("", description="axes of one event where it came from: HW, HWC or CHW; images only")
    user_shape: tuple[int, ...] | None = Field(None, description="of one event where it came from; arrays only")
    label: Label | None = Field(None, description="what events are labelled with")
    alignment: Alignment | None = Field(None, description="the target and its positions; alignments only")
    source: str = Field("numpy", description="what it came from: polars, numpy, torch, folder, ...")

    @model_validator(mode="after")
    def _columns_fit_the_shape(self) -> Schema:
        if self.kind == "images" and (len(self.shape) != 3 or self.levels is None):
            raise ValueError("images need a shape (channels, height, width) and levels")
        if (self.kind == "alignment") != (self.alignment is not None):
            raise ValueError("an alignment needs the field 'alignment', other kinds have none")
        if self.alignment is not None and self.shape != (len(self.alignment.positions),):
            raise ValueError(f"{len(self.alignment.positions)} positions do not fit the shape {self.shape}")
        kept = sum(column.size for column in self.columns if column.type != "drop")
        if self.columns and kept != math.prod(self.shape):
            raise ValueError(f"columns cover {kept} elements, shape {self.shape} has {math.prod(self.shape)}")
        sizes: dict[tuple[str, str], int] = {}
        for column in self.kept:
            sizes[column.point] = sizes.get(column.point, 0) + column.size
        if any(kind in ("sphere", "simplex") and size < 2 for (kind, _), size in sizes.items()):
            raise ValueError("a unit vector or composition needs at least two columns of one type and group")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError("two columns have the same name")
        return self

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns that are stored, in order."""
        return tuple(column for column in self.columns if column.type != "drop")

    def column(self, name: str) -> Column:
        """The column of this name.

        Raises:
            DataError: there is none; the nearest names are offered.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise DataError(
            f"There is no column {name!r}.", hint=did_you_mean(name, [column.name for column in self.columns])
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data without the fields that have their default value."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"version": self.version}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, where: str = "schema") -> Schema:
        """The schema again; every wrong or unknown field is named with its path.

        Raises:
            ConfigError: an unknown field (with the nearest known one) or a value that does not fit.
        """
        columns = values.get("columns")
        if values.get("kind") == "table" and isinstance(columns, list | tuple):  # dropping a column needs one edit only
            dropped = sum(isinstance(column, Mapping) and column.get("type") == "drop" for column in columns)
            values = {**values, "shape": (len(columns) - dropped,)}
        return cls.parse(values, where=where)

    def write(self, path: Path) -> None:
        """Write ``schema.json``, for people to read and edit."""
        path.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Schema:
        """Read a ``schema.json``, bounded in size.

        Raises:
            DataError: missing, too large or not JSON.
            ConfigError: a field that is unknown or does not fit.
        """
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise DataError(f"{path}: a schema holds at most {_MAX_BYTES} bytes.")
            values = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{path}: cannot be read as a schema: {error}.", hint="Write one with: headwater inspect DATA --schema"
            ) from None
        if not isinstance(values, dict):
            raise DataError(f"{path}: expected a JSON object, got {type(values).__name__}.")
        return cls.from_json(values, where=str(path))
