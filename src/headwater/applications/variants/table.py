"""The scores of one protein's variants: a table that is written to CSV or Parquet and read back unchanged."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64

from headwater.applications.variants.notice import NOTICE
from headwater.data.tables.source import require_polars
from headwater.errors import DataError, UsageError, did_you_mean
from headwater.runs.files import refuse_existing, reporting, write_atomic

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EXTRAS", "SCORED", "VariantScores", "read_scores", "write_scores"]

SCORED = "scored"
EXTRAS = ("class", "pathogenic_probability", "uncertainty")
"""Columns that classification adds; ``class`` is text, empty where a variant has no score."""

_FIGURES = ("score", "stderr", "disagreement")
_FIXED = ("protein", "variant", "status", *_FIGURES, "evolutionary_index")
_MEMBER = "score_"
_KEY = "notice"


@dataclass(frozen=True, eq=False)
class VariantScores:
    r"""What a model says of variants of one protein.

    .. math:: s(v) = \log p(v) - \log p(\text{wild type})

    in nats: higher is better tolerated; EVE's evolutionary index is :math:`-s`.

    Args:
        protein: Name of the target.
        variants: ``A24C``, several substitutions joined by ``:``; what was typed where it could not be read.
        status: ``scored``, or why there is no score.
        score: NaN where there is none.
        stderr: Standard error of the score; NaN where it is exact or there is no score.
        disagreement: Standard deviation between members.
        members: Scores of each member of an ensemble, by name.
        extras: Columns of :data:`EXTRAS`.

    Raises:
        DataError: columns of different lengths, a score without the status ``scored`` or the other way round.
    """

    protein: str
    variants: tuple[str, ...]
    status: tuple[str, ...]
    score: Float64[np.ndarray, " n"]
    stderr: Float64[np.ndarray, " n"]
    disagreement: Float64[np.ndarray, " n"]
    members: Mapping[str, Float64[np.ndarray, " n"]] = field(default_factory=dict)
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.extras if name not in EXTRAS]
        if unknown:
            raise UsageError(f"There is no extra column {unknown[0]!r}.", hint=did_you_mean(unknown[0], EXTRAS))
        columns: dict[str, Any] = {"status": self.status, **{name: getattr(self, name) for name in _FIGURES}}
        columns |= {_MEMBER + name: values for name, values in self.members.items()} | dict(self.extras)
        for name, values in columns.items():
            if len(values) != len(self.variants):
                raise DataError(f"Expected {len(self.variants)} rows in every column, got {len(values)} in {name!r}.")
        odd = np.flatnonzero(self.scored != np.isfinite(self.score))
        if len(odd):
            row = int(odd[0])
            raise DataError(
                f"Expected a finite score where the status is {SCORED!r} and only there, got score "
                f"{self.score[row]:g} and status {self.status[row]!r} for {self.variants[row]!r}."
            )

    def __len__(self) -> int:
        return len(self.variants)

    @property
    def scored(self) -> Bool[np.ndarray, " n"]:
        """Which variants have a score."""
        return np.array([status == SCORED for status in self.status], dtype=np.bool_)

    @property
    def counts(self) -> dict[str, int]:
        """How many variants have each status, most frequent first."""
        found: dict[str, int] = {}
        for status in self.status:
            found[status] = found.get(status, 0) + 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def having(self, **extras: np.ndarray) -> VariantScores:
        """A copy with more of the columns :data:`EXTRAS` (``class_`` for ``class``)."""
        return replace(self, extras={**self.extras, **{name.rstrip("_"): values for name, values in extras.items()}})

    def frame(self) -> pl.DataFrame:
        """A polars frame; null where there is no figure.

        Raises:
            MissingExtraError: polars is not installed.
        """
        polars = require_polars()
        columns: dict[str, Any] = {"protein": [self.protein] * len(self), "variant": list(self.variants)}
        columns["status"] = list(self.status)
        columns |= {name: getattr(self, name) for name in _FIGURES} | {"evolutionary_index": -self.score}
        columns |= {_MEMBER + name: values for name, values in self.members.items()}
        for name in EXTRAS:
            if name in self.extras:
                values = self.extras[name]
                columns[name] = [str(v) or None for v in values] if name == "class" else values
        texts = {name: polars.String for name in ("protein", "variant", "status", "class") if name in columns}
        return polars.DataFrame(columns, schema_overrides=texts).with_columns(polars.selectors.float().fill_nan(None))

    def write(self, path: Path | str, *, exist_ok: bool = False) -> Path:
        """Write ``.csv`` (the notice is its first line, after ``#``) or ``.parquet`` (the notice is metadata).

        Raises:
            UsageError: another ending, or the file exists.
            ResourceError: the system refuses.
        """
        return write_scores([self], path, exist_ok=exist_ok)

    @classmethod
    def read(cls, path: Path | str) -> VariantScores:
        """Read the scores of one protein; see :func:`read_scores`.

        Raises:
            DataError: as there, or the file holds none or several proteins.
        """
        tables = read_scores(path)
        if len(tables) != 1:
            names = ", ".join(table.protein for table in tables[:5])
            raise DataError(
                f"{path}: expected scores of one protein, got {len(tables)}{': ' + names if names else ''}.",
                hint="Read them all with read_scores.",
            )
        return tables[0]


def write_scores(tables: Sequence[VariantScores], path: Path | str, *, exist_ok: bool = False) -> Path:
    """Write the scores of several proteins into one file; see :meth:`VariantScores.write`.

    Raises:
        UsageError: no tables, another ending, or the file exists.
        ResourceError: the system refuses.
    """
    target, polars = Path(path), require_polars()
    ending = _ending(target)
    if not tables:
        raise UsageError("Expected scores to write, got none.")
    refuse_existing(target, exist_ok=exist_ok)
    frame = polars.concat([table.frame() for table in tables], how="diagonal")
    buffer = io.BytesIO()
    if ending == ".csv":
        buffer.write(f"# {NOTICE}\n".encode())
        frame.write_csv(buffer)
    else:
        frame.write_parquet(buffer, metadata={_KEY: NOTICE})
    with reporting(target, "Writing"):
        target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, buffer.getvalue())
    return target


def read_scores(path: Path | str) -> tuple[VariantScores, ...]:
    """Read what :meth:`VariantScores.write` wrote; several proteins in one file in order of appearance.

    Raises:
        UsageError: another ending than .csv or .parquet.
        DataError: the file is missing, damaged, or lacks a column.
    """
    source, polars = Path(path), require_polars()
    if not source.is_file():
        raise DataError(f"{source} does not exist.", hint="Give the file that `variants score` wrote.")
    try:
        if _ending(source) == ".csv":
            with source.open("rb") as file:
                noted = file.read(1) == b"#"
            text = dict.fromkeys(("protein", "variant", "status", "class"), polars.String)
            # Not as comments: a variant as typed may begin with any character.
            frame = polars.read_csv(source, skip_lines=int(noted), schema_overrides=text, infer_schema_length=None)
        else:
            frame = polars.read_parquet(source)
    except (polars.exceptions.PolarsError, UnicodeDecodeError) as error:
        raise DataError(f"{source} cannot be read as a table: {str(error).splitlines()[0]}") from None
    missing = [name for name in _FIXED[:4] if name not in frame.columns]
    if missing:
        raise DataError(
            f"{source}: expected a table of variant scores, column {missing[0]!r} is missing.",
            hint=did_you_mean(missing[0], frame.columns),
        )
    parts = frame.partition_by("protein", maintain_order=True) if len(frame) else []
    return tuple(_table(part, source) for part in parts)


def _table(frame: pl.DataFrame, source: Path) -> VariantScores:
    def figures(name: str) -> Float64[np.ndarray, " n"]:
        if name not in frame.columns:
            return np.full(len(frame), np.nan)
        try:
            return frame[name].cast(require_polars().Float64).fill_null(float("nan")).to_numpy().copy()
        except require_polars().exceptions.PolarsError:
            raise DataError(f"{source}: expected numbers in column {name!r}.") from None

    def words(name: str) -> list[str]:
        return [value or "" for value in frame[name].to_list()]

    extras: dict[str, np.ndarray] = {}
    for name in EXTRAS:
        if name in frame.columns:
            extras[name] = np.array(words(name), dtype=np.str_) if name == "class" else figures(name)
    scored = SCORED in frame["status"]  # then a member without figures is another protein's
    named = [name for name in frame.columns if name.startswith(_MEMBER)]
    named = [name for name in named if not scored or frame[name].null_count() < len(frame)]
    return VariantScores(
        protein=str(frame["protein"][0] or ""),
        variants=tuple(words("variant")),
        status=tuple(words("status")),
        score=figures("score"),
        stderr=figures("stderr"),
        disagreement=figures("disagreement"),
        members={name.removeprefix(_MEMBER): figures(name) for name in named},
        extras={name: values for name, values in extras.items() if not _absent(values)},
    )


def _absent(values: np.ndarray) -> bool:
    """Whether a column of :data:`EXTRAS` is another protein's."""
    return not values.any() if values.dtype.kind == "U" else bool(np.isnan(values).all())


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise UsageError(
            f"Variant scores cannot be kept as {path.suffix or path.name!r}.", hint="Use .csv or .parquet."
        )
    return ending
