"""The first pass over an alignment: which record is the focus, and whether rows are whole or leave insertions out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from headwater.data.alignments.letters import INSERTED
from headwater.data.alignments.records import Record, Source
from headwater.data.limits import Limits
from headwater.errors import DataError, did_you_mean

__all__ = ["Survey", "limited", "survey"]

_NAMES = 100_000


@dataclass
class Survey:
    """Figures of all records.

    Args:
        records: How many there are.
        focus: The record whose residues decide the columns.
        place: Its number among the records.
        whole: How many records have each length.
        matched: How many have each length without insertions (lower case and dots).
        repeated: Records whose name an earlier one has.
    """

    records: int = 0
    focus: Record | None = None
    place: int = 0
    whole: Counter[int] = field(default_factory=Counter)
    matched: Counter[int] = field(default_factory=Counter)
    repeated: int = 0

    def strips_insertions(self, wanted: str, suffix: str) -> bool:
        """Whether columns are what is left without lower case and dots, as in A3M; by what fits more records."""
        assert self.focus is not None
        if wanted in ("a3m", "a2m", "fasta"):
            return wanted == "a3m"
        whole = self.whole[len(self.focus.sequence)]
        matched = self.matched[match_length(self.focus.sequence)]
        return matched > whole or (matched == whole and suffix == ".a3m")


def match_length(sequence: bytes) -> int:
    """Characters that are no insertion."""
    return len(sequence.translate(None, INSERTED))


def limited(source: Source, most: int | None) -> Iterator[Record]:
    """The first ``most`` records."""
    return islice(source.records(), most)


def survey(source: Source, focus: str | None, most: int | None, limits: Limits) -> Survey:
    """Read all records once.

    Args:
        source: The records.
        focus: Name of the target's record (its first word, with or without the range); None: the first record.
        most: Use only so many.
        limits: What is accepted at most.

    Raises:
        DataError: no records, or none of that name; near ones are offered.
    """
    found = Survey()
    names: list[str] = []
    hashes: set[int] = set()
    for record in limited(source, most):
        word = record.name.split(maxsplit=1)[0] if record.name.strip() else ""
        if found.focus is None and (focus is None or focus in (record.name, word, word.partition("/")[0])):
            found.focus, found.place = record, found.records
        found.records += 1
        found.whole[len(record.sequence)] += 1
        found.matched[match_length(record.sequence)] += 1
        key = hash(record.name)
        found.repeated += key in hashes
        hashes.add(key)
        if focus is not None and len(names) < _NAMES:
            names += dict.fromkeys((word, word.partition("/")[0]))
    limits.check("rows", found.records, source.where)
    if not found.records:
        raise DataError(f"{source.where}: holds no records.", hint="Is it an alignment?")
    if found.focus is None:
        raise DataError(
            f"{source.where}: there is no sequence {focus!r} among {found.records}.",
            hint=did_you_mean(str(focus), names) or "Leave it out to take the first: --set data.alignment.focus=none",
        )
    if not found.focus.sequence:
        raise DataError(f"{source.where}: {found.focus.place}: the focus {found.focus.name!r} is an empty sequence.")
    return found
