"""The leaderboard: rows from evaluations, what is best, what cannot be compared and why."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field

from headwater.config import Config
from headwater.evaluation.catalogue import CATALOGUE, entry
from headwater.evaluation.evaluation import Evaluation
from headwater.evaluation.text import figure, grid
from headwater.runs.files import write_atomic

__all__ = ["Cell", "Leaderboard", "Row", "leaderboard"]

_LIKELIHOOD = ("log_likelihood", "bits_per_dim")
_ON_FEATURES = ("frechet", "kernel", "precision", "recall", "density", "coverage", "two_sample")
_SAME_ANYWHERE = ("speed",)


class Cell(Config):
    """A figure in a row; ``best`` among those it can be compared with."""

    value: float | None = Field(description="None: minus infinity")
    stderr: float | None = None
    floor: float | None = None
    kind: Literal["", "exact", "lower bound", "estimate"] = ""
    best: bool = False
    outside: str = Field("", description="why it cannot be compared with the others; empty where it can")


class Row(Config):
    """One run."""

    run: str
    model: str
    family: str
    status: Literal["ok", "failed"] = "ok"
    reason: str = Field("", description="why it failed")
    cells: dict[str, Cell] = {}  # noqa: RUF012 - pydantic copies defaults
    memorization: str = ""
    missing: dict[str, str] = Field({}, description="figures that failed, with the reason")


class Leaderboard(Config):
    """Rows, best first, with everything that must be known before they are compared."""

    rows: tuple[Row, ...]
    columns: tuple[str, ...] = Field(description="keys of the figures, in order")
    protocol: str = Field("", description="what most rows share")
    notes: tuple[str, ...] = Field((), description="what cannot be compared, what failed, how to read bounds")
    floors: dict[str, float] = Field({}, description="figures of real data, where the rows share them")

    def __str__(self) -> str:
        heads = ["run", "model", *(entry(key).short for key in self.columns), "memorization"]
        lines = [heads]
        for row in self.rows:
            shown = [_shown(row.cells.get(key), key) for key in self.columns]
            lines.append([row.run, row.model, *shown, row.memorization if row.status == "ok" else "FAILED"])
        if self.floors:
            real = [
                "" if key not in self.floors else figure(self.floors[key], entry(key).decimals) for key in self.columns
            ]
            lines.append(["(real data)", "", *real, ""])
        arrows = {"higher": "up", "lower": "down", "half": "0.5", "one": "1"}
        better = ["", "better:", *(arrows[entry(key).better] for key in self.columns), ""]
        lines.insert(1, better)
        text = grid(lines, right=range(2, 2 + len(self.columns)), header=2)
        marks = "* best of its column   ! not comparable, see below   >= lower bound   ~ estimate"
        return "\n".join([self.protocol, "", text, "", marks, *(f"- {note}" for note in self.notes)])

    __repr__ = __str__

    def to_json(self) -> str:
        """The whole leaderboard as JSON text."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    def to_csv(self) -> str:
        """One line per run; figures with their standard errors and reasons in columns of their own."""
        out = io.StringIO()
        parts = ("value", "stderr", "kind", "best", "outside")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            ["run", "model", "family", "status", "reason", "memorization"]
            + [f"{key}_{part}" for key in self.columns for part in parts]
        )
        for row in self.rows:
            cells = [row.cells.get(key) for key in self.columns]
            values = [("" if c is None or (v := getattr(c, part)) is None else v) for c in cells for part in parts]
            texts = [row.run, row.model, row.family, row.status, row.reason, row.memorization]
            writer.writerow([*(_inert(text) for text in texts), *values])
        return out.getvalue()

    def write_json(self, path: Path | str) -> None:
        """Write :meth:`to_json`, atomically."""
        write_atomic(Path(path), self.to_json().encode())

    def write_csv(self, path: Path | str) -> None:
        """Write :meth:`to_csv`, atomically."""
        write_atomic(Path(path), self.to_csv().encode())


def _inert(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text  # a spreadsheet would compute it


def _shown(cell: Cell | None, key: str) -> str:
    if cell is None:
        return "-"
    mark = {"lower bound": ">=", "estimate": "~"}.get(cell.kind, "") if key == "log_likelihood" else ""
    value = "-inf" if cell.value is None else figure(cell.value, entry(key).decimals)
    return f"{mark}{value}{'!' if cell.outside else '*' if cell.best else ' '}"


def leaderboard(evaluations: list[Evaluation], failed: list[tuple[str, str]]) -> Leaderboard:
    """Put evaluations beside each other.

    Figures are compared within the protocol that most runs share: the same data, split and
    number of events; likelihoods also under the same condition, distances with the same
    extractor. A figure outside is shown, marked, explained, and never best.

    Args:
        evaluations: What was measured.
        failed: Names of runs that could not be evaluated, with the reason.
    """
    shared = {key: _majority([_protocol(e, key) for e in evaluations if key in _cells(e)]) for key in CATALOGUE}
    rows, notes = [], []
    for found in evaluations:
        cells = {}
        for key, cell in _cells(found).items():
            why = _difference(_protocol(found, key), shared[key])
            cells[key] = cell.model_copy(update={"outside": why})
        rows.append(_row(found, cells))
        reasons = Counter(cell.outside for cell in cells.values() if cell.outside)
        for why in reasons:
            titles = ", ".join(entry(key).title for key, cell in cells.items() if cell.outside == why)
            notes.append(f"{found.run}: not comparable ({titles}): {why}")
        notes += [f"{found.run}: {entry(key).title} not measured: {why}" for key, why in rows[-1].missing.items()]
    rows = _with_best(rows)
    columns = tuple(key for key in CATALOGUE if any(key in row.cells for row in rows))
    rows += [Row(run=name, model="", family="", status="failed", reason=why) for name, why in failed]
    notes += [f"{name}: failed: {why}" for name, why in failed]
    return Leaderboard(
        rows=tuple(_sorted(rows, columns)),
        columns=columns,
        protocol=_protocol_text(evaluations),
        notes=(*_likelihood_notes(rows), *notes),
        floors=_floors(rows, columns),
    )


def _cells(found: Evaluation) -> dict[str, Cell]:
    cells = {f.key: Cell(value=f.value, stderr=f.stderr, floor=f.floor) for f in found.figures}
    likelihood = found.likelihood
    if likelihood is not None:
        kind = likelihood.kind
        cells["log_likelihood"] = Cell(value=likelihood.mean, stderr=likelihood.stderr, kind=kind)
        if likelihood.bits_per_dim is not None and found.kind == "images":
            error = likelihood.bits_per_dim_stderr
            cells["bits_per_dim"] = Cell(value=likelihood.bits_per_dim, stderr=error, kind=kind)
    return {key: cells[key] for key in CATALOGUE if key in cells}


def _protocol(found: Evaluation, key: str) -> tuple[tuple[str, str], ...]:
    stamp = found.stamp
    if key in _SAME_ANYWHERE:
        return (("machine", stamp.machine),)
    parts = [("data", stamp.data), ("split", stamp.split)]
    if key in _LIKELIHOOD and found.likelihood is not None:
        likelihood = found.likelihood
        condition = "log p(x | label)" if likelihood.conditional else "log p(x)"
        return (*parts, ("events", str(likelihood.n)), ("unit", f"{likelihood.dims} elements"), ("score", condition))
    parts += [("events", str(stamp.n))]
    if key in _ON_FEATURES:
        parts.append(("extractor", f"{stamp.extractor} {stamp.extractor_fingerprint}"))
    if key == "utility":
        parts.append(("target", found.target))
    return tuple(parts)


def _majority(protocols: list[tuple[tuple[str, str], ...]]) -> tuple[tuple[str, str], ...]:
    return Counter(protocols).most_common(1)[0][0] if protocols else ()


def _difference(own: tuple[tuple[str, str], ...], shared: tuple[tuple[str, str], ...]) -> str:
    common = dict(shared)
    return "; ".join(f"{name} {value}, not {common[name]}" for name, value in own if common[name] != value)


def _row(found: Evaluation, cells: dict[str, Cell]) -> Row:
    return Row(
        run=found.run,
        model=found.model,
        family=found.family,
        cells=cells,
        memorization=found.memorization.verdict if found.memorization else "",
        missing={failure.key: failure.reason for failure in found.failures},
    )


def _merit(key: str, value: float | None) -> float:
    if value is None:
        return float("-inf")
    return {"higher": value, "lower": -value, "half": -abs(value - 0.5), "one": -abs(value - 1.0)}[entry(key).better]


def _with_best(rows: list[Row]) -> list[Row]:
    top: dict[str, float] = {}
    for row in rows:
        for key, cell in row.cells.items():
            if not cell.outside and cell.value is not None:
                top[key] = max(top.get(key, float("-inf")), _merit(key, cell.value))
    return [
        row.model_copy(
            update={
                "cells": {
                    key: cell.model_copy(update={"best": not cell.outside and _merit(key, cell.value) == top.get(key)})
                    for key, cell in row.cells.items()
                }
            }
        )
        for row in rows
    ]


def _sorted(rows: list[Row], columns: tuple[str, ...]) -> list[Row]:
    """By the first figures that most rows have: likelihood, then Frechet distance; failed and odd ones last."""

    def place(row: Row) -> tuple[bool, bool, float, float]:
        first, second = (row.cells.get(key) for key in ("log_likelihood", "frechet"))
        return (
            row.status == "failed",
            first is None or bool(first.outside),
            0.0 if first is None else -_merit("log_likelihood", first.value),
            0.0 if second is None else -_merit("frechet", second.value),
        )

    return sorted(rows, key=place)


def _floors(rows: list[Row], columns: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for key in columns:
        floors = [c.floor for row in rows if (c := row.cells.get(key)) and not c.outside and c.floor is not None]
        if floors and max(floors) - min(floors) <= 1e-6 * max(1.0, abs(floors[0])):
            found[key] = floors[0]
    return found


def _likelihood_notes(rows: list[Row]) -> list[str]:
    by_kind: dict[str, list[str]] = {}
    for row in rows:
        cell = row.cells.get("log_likelihood")
        if cell is not None:
            by_kind.setdefault(cell.kind, []).append(row.run)
    notes = []
    if "lower bound" in by_kind and len(by_kind) > 1:
        names = ", ".join(by_kind["lower bound"])
        notes.append(
            f"Lower bounds ({names}) can only understate a model: ranked below an exact one, it may be better."
        )
    if "estimate" in by_kind and len(by_kind) > 1:
        notes.append(f"Estimates ({', '.join(by_kind['estimate'])}) carry the error of a solver or of draws.")
    return notes


def _protocol_text(evaluations: list[Evaluation]) -> str:
    if not evaluations:
        return "No run has been evaluated."
    stamps = [(e.stamp.data, e.stamp.split, e.stamp.n, e.stamp.extractor, e.stamp.seed) for e in evaluations]
    data, split, n, extractor, seed = Counter(stamps).most_common(1)[0][0]
    return (
        f"Data {data[:12]}, split {split}: {n} held-out events and {n} samples, seed {seed}, extractor {extractor}. "
        "Real data: the same figures of as many training events."
    )
