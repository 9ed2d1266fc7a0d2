"""The reader of alignments: rows cut to the target as EVE cuts them, weighed, and split by families.

In EVE's order: columns in which the focus has a gap go, then sequences that are mostly gaps, then columns that are
mostly gaps among those left, then sequences with an unknown residue in a modelled column.

Disease variant prediction with deep generative models of evolutionary data (Frazer et al., 2021),
https://doi.org/10.1038/s41586-021-04043-8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headwater.data.alignments.declared import declared_target
from headwater.data.alignments.holdout import IDENTITY, HeldOut, hold_out
from headwater.data.alignments.info import CATEGORIES, GAP, SHALLOW, UNKNOWN, Alignment
from headwater.data.alignments.records import Source, open_records
from headwater.data.alignments.rows import Rows, compact, read_rows
from headwater.data.alignments.survey import Survey, survey
from headwater.data.alignments.target import Target, read_target
from headwater.data.alignments.weights import sequence_weights
from headwater.data.dataset import Reading, Skipped
from headwater.data.hashing import hash_rows
from headwater.data.limits import Limits
from headwater.data.schema import Column, Schema
from headwater.errors import DataError
from headwater.progress import Progress
from headwater.settings import AlignmentSettings, DataSettings

__all__ = ["read_alignment"]

_EVERY = "--set data.alignment.column_gaps=1"


def read_alignment(
    data: Any, settings: DataSettings, limits: Limits, progress: Progress, declared: Schema | None = None
) -> Reading:
    """Read an alignment file, or aligned texts; the positions are those of a ``declared`` schema where one is given.

    Raises:
        DataError: no alignment, one of a single sequence, nothing left, or too many records that do not fit.
        UnsafeFileError: a gzip file that unpacks to far more than it holds.
    """
    how, known = settings.alignment, None if declared is None else declared.alignment
    source = open_records(data, limits, how.format)
    found = survey(source, how.focus, settings.max_rows, limits)
    assert found.focus is not None
    if found.records == 1:
        raise DataError(
            f"{source.where}: an alignment of one sequence cannot be learned from.",
            hint="Search a database for sequences like it, and align them to it.",
        )
    strip = found.strips_insertions(how.format, source.suffix)
    if known is None:
        target = read_target(found.focus, source.where, strip=strip, columns=how.columns)
    else:
        target = declared_target(found.focus, source.where, known, strip=strip)
    with progress.phase("Reading sequences", total=found.records, unit="sequences") as phase:
        rows = read_rows(
            source, found.records, target.columns, target.width,
            strip=strip, fragments=how.fragments, focus=found.place, phase=phase,
        )  # fmt: skip
    _check(source, found, rows, settings)
    cut = _cut(source, target, rows, how, keep_columns=known is not None)
    return _reading(source, found, target, rows, cut, settings, progress)


@dataclass
class _Cut:
    """What is modelled: codes, the positions of their columns, the focus's row, and what was left out."""

    codes: np.ndarray
    positions: tuple[int, ...]
    focus: int
    dropped: dict[str, int]


def _check(source: Source, found: Survey, rows: Rows, settings: DataSettings) -> None:
    bad = rows.bad
    if bad.count > settings.skip * found.records or (bad.count and not len(rows.codes)):
        record, reason = bad.first[0]
        raise DataError(
            f"{source.where}: {bad.count} of {found.records} records do not fit; the first: {record} {reason}.",
            hint="Rows of an alignment have equal length, insertions in lower case aside. Mend them, or allow it:"
            " --set data.skip=0.5",
        )
    if len(rows.codes) < 2:
        raise DataError(
            f"{source.where}: {len(rows.codes)} of {found.records} sequences are left: {rows.fragments} have more gaps"
            f" than {settings.alignment.fragments:g} of the columns.",
            hint="Accept fragments: --set data.alignment.fragments=0.8",
        )


def _cut(source: Source, target: Target, rows: Rows, how: AlignmentSettings, *, keep_columns: bool) -> _Cut:
    codes = rows.codes
    share = rows.gaps / len(codes)
    columns = np.ones(len(share), dtype=bool) if keep_columns else share <= how.column_gaps
    if not columns.any():
        raise DataError(
            f"{source.where}: no column is left: each is a gap in more than {how.column_gaps:g} of the sequences.",
            hint=f"Model every position: {_EVERY}",
        )
    keep = np.ones(len(codes), dtype=bool)
    unknown = 0
    step = max(1, 4_000_000 // codes.shape[1])
    for start in range(0, len(codes), step):
        piece = codes[start : start + step]
        if how.unknown == "gap":
            piece[piece == UNKNOWN] = GAP
        keep[start : start + step] = ~((piece == UNKNOWN) & columns).any(axis=1)
    unknown = int((~keep).sum())
    if keep.sum() < 2:
        raise DataError(
            f"{source.where}: {int(keep.sum())} sequences are left: {unknown} have an unknown residue.",
            hint="Read unknown residues as gaps: --set data.alignment.unknown=gap",
        )
    focus = int(keep[: rows.focus].sum()) if rows.focus >= 0 and keep[rows.focus] else -1
    dropped = {
        **target.left_out,
        "columns_gaps": int((~columns).sum()),
        "sequences_unreadable": rows.bad.count,
        "sequences_fragments": rows.fragments,
        "sequences_unknown_residue": unknown,
    }
    positions = tuple(target.positions[columns].tolist())
    return _Cut(compact(codes, keep, columns), positions, focus, {name: n for name, n in dropped.items() if n})


def _reading(
    source: Source,
    found: Survey,
    target: Target,
    rows: Rows,
    cut: _Cut,
    settings: DataSettings,
    progress: Progress,
) -> Reading:
    how, codes = settings.alignment, cut.codes
    weights = sequence_weights(codes, how.theta, how.weights, progress)
    info = Alignment(
        name=target.name,
        sequence=target.sequence,
        start=target.start,
        positions=cut.positions,
        sequences=len(codes),
        neff=float(weights.sum()),
        theta=how.theta,
        convention=how.weights,
        dropped=cut.dropped,
    )
    length = codes.shape[1]
    column = Column(name="residue", type="categorical", size=length, categories=CATEGORIES, gap=True)
    schema = Schema(
        kind="alignment", shape=(length,), dtype="uint8", columns=(column,), source=source.format, alignment=info
    )
    with progress.phase("Splitting by families", total=1) as phase:
        held = hold_out(
            codes, weights, hash_rows(codes, schema),
            valid=settings.valid, test=settings.test, seed=settings.split_seed, focus=cut.focus,
        )  # fmt: skip
        phase.advance()
    fixed = {"train": held.train, "valid": held.valid, "test": held.test}
    skipped = tuple(Skipped(*item) for item in rows.bad.first)
    notes = [*dict.fromkeys(source.notes), *_notes(info, found, rows, how), *_split_notes(held, weights)]
    warnings = [*dict.fromkeys(source.warnings), *_warnings(info, target, found, rows, held)]
    return Reading(schema, codes, None, fixed, skipped, notes, warnings, weights=weights)


def _notes(info: Alignment, found: Survey, rows: Rows, how: AlignmentSettings) -> list[str]:
    dropped, length = info.dropped, len(info.positions)
    notes = [
        f"Target {info.name}: {length} of {len(info.sequence)} residues are modelled,"
        f" positions {info.positions[0]} .. {info.positions[-1]}; {info.sequences} of {found.records} sequences,"
        f" {info.neff:.1f} effective ({info.depth:.2f} per position).",
    ]
    told = {
        "columns_gaps": f"{{}} positions have gaps in more than {how.column_gaps:g} of the sequences and are not"
        f" modelled; to score every position: {_EVERY}",
        "columns_lower_case": "{} residues of the target are in lower case and are not modelled.",
        "columns_unknown_residue": "{} residues of the target are unknown (B, J, O, U, X, Z) and are not modelled.",
        "columns_insertions": "{} columns are a gap in the target and were left out.",
        "sequences_fragments": f"{{}} sequences have gaps in more than {how.fragments:g} of the columns: left out.",
        "sequences_unknown_residue": "{} sequences have an unknown residue (B, J, O, U, X, Z) in a modelled column:"
        " left out; to read those as gaps: --set data.alignment.unknown=gap",
    }
    notes += [text.format(dropped[reason]) for reason, text in told.items() if reason in dropped]
    if rows.insertions:
        notes.append(f"{rows.insertions} sequences have insertions (lower case) that were left out.")
    if found.repeated:
        notes.append(f"{found.repeated} records have the name of an earlier one; each is a sequence of its own.")
    return notes


def _split_notes(held: HeldOut, weights: np.ndarray) -> list[str]:
    if not len(held.twins):
        return []
    share = float(weights[held.twins].sum() / weights.sum())
    return [
        f"{len(held.twins)} sequences ({100 * share:.1f} % of the weight) are near-copies ({100 * IDENTITY:.0f} % of"
        " their residues) of a held-out one: they are in no split, so that remembering is not rewarded."
    ]


def _warnings(info: Alignment, target: Target, found: Survey, rows: Rows, held: HeldOut) -> list[str]:
    warnings = [target.warning] * bool(target.warning)
    if rows.bad.count:
        record, reason = rows.bad.first[0]
        warnings.append(
            f"{rows.bad.count} of {found.records} records do not fit and were skipped; the first: {record} {reason}."
        )
    if info.depth < SHALLOW:
        warnings.append(
            f"This is a shallow alignment: {info.neff:.1f} effective sequences for {len(info.positions)} positions,"
            f" {info.depth:.2f} each ({SHALLOW:g} or more are wanted). Compare every model with counting:"
            " --model sites --set model.prior=counting"
        )
    if held.alike:
        warnings.append(
            "The sequences are too alike to hold out families of them: single ones are held out, whose near-copies"
            " are trained on, so held-out figures are too good."
        )
    return warnings
