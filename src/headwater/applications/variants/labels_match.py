"""Measurements and clinical labels matched with scores; what does not match is counted by reason."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from headwater.applications.variants.spelling import Change, spelled
from headwater.applications.variants.table import VariantScores
from headwater.errors import DataError, did_you_mean

__all__ = ["Labels", "Matched"]


@dataclass(frozen=True, eq=False)
class Labels:
    """Rows of an assay or of clinical labels, as the file has them.

    Args:
        name: Of the file, without ending.
        proteins: Of each row; None: the file names none.
        variants: As typed.
        values: Measurement; or 1 for pathogenic, 0 for benign; NaN where the row has neither.
        clinical: Whether they are labels.
    """

    name: str
    proteins: tuple[str, ...] | None
    variants: tuple[str, ...]
    values: Float64[np.ndarray, " n"]
    clinical: bool

    def __len__(self) -> int:
        return len(self.variants)

    def of(self, protein: str) -> tuple[str, ...]:
        """The variants of one protein, whatever the case of its name; all where the file names none."""
        if self.proteins is None:
            return self.variants
        both = zip(self.proteins, self.variants, strict=True)
        return tuple(text for name, text in both if name.lower() == protein.lower())

    def match(self, table: VariantScores, *, protein: str | None = None) -> Matched:
        """Find the rows of a table of scores that are measured or labelled.

        Spellings may differ. A variant measured several times has the mean; labelled several times, its label where all
        agree, none where not. Rows used and rows counted as left out add up to the file.

        Args:
            table: Scores of one protein.
            protein: Its name in the file; by default the table's own, whatever the case.

        Raises:
            DataError: the file is of other proteins, or none of its rows match, with the counts.
        """
        wanted, left_out = self._of_protein(table, protein)
        row_of = {name: row for row, name in enumerate(table.variants) if table.scored[row]}
        unscored = {name for row, name in enumerate(table.variants) if not table.scored[row]}
        wild_of = {change.position: change.wild for name in row_of for change in spelled(name).changes}
        values: dict[int, list[float]] = {}
        for i in wanted:
            spelling = spelled(self.variants[i])
            row = row_of.get(spelling.canonical)
            if spelling.reason:
                left_out["no substitution, or not readable"] += 1
            elif all(change.wild == change.to for change in spelling.changes):
                left_out["changes nothing"] += 1
            elif not math.isfinite(self.values[i]):
                left_out["neither pathogenic nor benign" if self.clinical else "no measurement"] += 1
            elif row is not None:
                values.setdefault(row, []).append(float(self.values[i]))
            elif any(wild_of.get(change.position, change.wild) != change.wild for change in spelling.changes):
                left_out["another residue than the target's"] += 1
            elif {spelling.canonical, self.variants[i]} & unscored:
                left_out["without a score"] += 1
            else:
                left_out["not among the variants scored"] += 1
        self._settle(values, left_out)
        if not values:
            changes = [change for i in wanted for change in spelled(self.variants[i]).changes]
            raise DataError(
                f"None of the {len(self)} rows of {self.name!r} has a score of {table.protein}: {_counted(left_out)}.",
                hint=_shift(changes, wild_of) or _example(table),
            )
        rows = np.array(sorted(values), dtype=np.int64)
        found = np.array([float(np.mean(values[row])) for row in rows.tolist()])
        return Matched(self.name, rows, found, self.clinical, dict(left_out))

    def _of_protein(self, table: VariantScores, protein: str | None) -> tuple[list[int], Counter[str]]:
        if self.proteins is None:
            return list(range(len(self))), Counter()
        name = (protein or table.protein).lower()
        wanted = [i for i, other in enumerate(self.proteins) if other.lower() == name]
        if not wanted:
            known = sorted(set(self.proteins))
            raise DataError(
                f"{self.name!r} has no rows of {protein or table.protein!r}: all {len(self)} are of {len(known)} other "
                f"proteins, such as {', '.join(known[:5])}.",
                hint=f"{did_you_mean(protein or table.protein, known)} Name it with --protein.".strip(),
            )
        others = len(self) - len(wanted)
        return wanted, Counter({"of other proteins": others} if others else {})

    def _settle(self, values: dict[int, list[float]], left_out: Counter[str]) -> None:
        """Count repeats; labels that contradict each other go."""
        for row, some in list(values.items()):
            if self.clinical and len(set(some)) > 1:
                left_out["contradictory labels"] += len(some)
                del values[row]
            elif len(some) > 1:
                left_out["labelled again" if self.clinical else "measured again (the mean is used)"] += len(some) - 1


@dataclass(frozen=True, eq=False)
class Matched:
    """Rows of a table of scores, with what was measured of them.

    Args:
        name: Of the file.
        rows: Of the table, increasing.
        values: Measurements; 1 for pathogenic and 0 for benign.
        clinical: Whether they are labels.
        left_out: Rows of the file that are not used: how many, by reason.
    """

    name: str
    rows: Int64[np.ndarray, " n"]
    values: Float64[np.ndarray, " n"]
    clinical: bool
    left_out: Mapping[str, int]

    def __str__(self) -> str:
        what = "labelled" if self.clinical else "measured"
        tail = f"; rows left out: {_counted(self.left_out)}" if self.left_out else ""
        return f"{self.name}: {len(self.rows)} variants {what} and scored{tail}"


def _example(table: VariantScores) -> str:
    hint = "Check that file and scores are of one protein, numbered alike."
    row = next((row for row, scored in enumerate(table.scored) if not scored), None)
    return hint if row is None else f"{hint} {table.variants[row]}: {table.status[row]}."


def _counted(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in left_out.items())


def _shift(changes: Sequence[Change], wild_of: Mapping[int, str]) -> str:
    """Whether the same changes would fit if they were numbered otherwise."""
    some = list({(change.position, change.wild) for change in changes})[:500]
    if len(some) < 5 or not wild_of:
        return ""
    reach = range(min(wild_of) - max(at for at, _ in some), max(wild_of) - min(at for at, _ in some) + 1)
    if len(reach) > 20_000:
        return ""
    fits = {shift: sum(wild_of.get(at + shift) == wild for at, wild in some) for shift in reach}
    best = max(fits, key=lambda shift: fits[shift])
    if best == 0 or fits[best] < 0.8 * len(some):
        return ""
    return f"They fit if {abs(best)} is {'added to' if best > 0 else 'taken from'} their positions: number them so."
