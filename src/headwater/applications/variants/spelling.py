"""Ways to write a substitution: ``A24C``, ``p.Ala24Cys``, ``p.(Ala24Cys)``, several of them joined."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from headwater.data.alignments.info import ALPHABET

__all__ = ["WILD_TYPE", "Change", "Spelling", "spelled"]

WILD_TYPE = "WT"
"""The spelling of the protein as it is."""

_NAMES = "Ala Cys Asp Glu Phe Gly His Ile Lys Leu Met Asn Pro Gln Arg Ser Thr Val Trp Tyr"
_THREE = dict(zip(_NAMES.lower().split(), ALPHABET, strict=True))
_STOPS = ("*", "ter", "stop")
_UNCHANGED = {"wt", "_wt", "wildtype", "wild-type", "p.=", "p.(=)", "="}
_JOINTS = re.compile(r"[:,;/+]")
_INDEL = re.compile(r"del|ins|dup|fs|ext|_|-$", re.IGNORECASE)
_REFERENCE = re.compile(r"^[^:\s]+:(?=p\.)", re.IGNORECASE)
_ONE = re.compile(r"(\*|[a-z]{3}|[a-z])([0-9]{1,7})(\*|=|[a-z]{4}|[a-z]{3}|[a-z])", re.IGNORECASE | re.ASCII)
_DNA = re.compile(r"[cgnmr]\.", re.IGNORECASE)


class Change(NamedTuple):
    """One substitution: residue that is there, its number, residue that takes its place (the same: none does)."""

    wild: str
    position: int
    to: str

    def __str__(self) -> str:
        return f"{self.wild}{self.position}{'=' if self.to == self.wild else self.to}"


class Spelling(NamedTuple):
    """What a text says.

    Args:
        changes: In order of position; empty for the wild type, and where there is a ``reason``.
        reason: Why the text is not a set of substitutions; empty where it is.
    """

    changes: tuple[Change, ...]
    reason: str = ""

    @property
    def canonical(self) -> str:
        """One spelling for all: ``A24C:G25D`` in order of position, ``A24=`` where nothing changes, ``WT``.

        >>> spelled("p.[Gly25Asp;Ala24Cys]").canonical
        'A24C:G25D'
        """
        real = [change for change in self.changes if change.to != change.wild]
        return ":".join(str(change) for change in real or self.changes) or WILD_TYPE


def spelled(text: str) -> Spelling:
    """Read a spelling; whether it fits a protein is not asked here.

    Parts may be joined by ``:``, ``,``, ``;``, ``/`` or ``+``; a reference before ``:p.`` is passed over.

    >>> spelled("NP_000537.3:p.(Arg175His)").changes
    (Change(wild='R', position=175, to='H'),)
    >>> spelled("A24Ter").reason
    "'A24Ter': a stop is gained, which is not scored: the models compare sequences of one length"
    """
    plain = _REFERENCE.sub("", text.strip())
    if plain.lower() in _UNCHANGED:
        return Spelling(())
    for opening, closing in ("[]", "()"):
        head = plain[: 3 if plain[:2].lower() == "p." else 1]
        if head.endswith(opening) and plain.endswith(closing):
            plain = head[:-1] + plain[len(head) : -1]
    if not plain:
        return Spelling((), "nothing is written")
    changes: list[Change] = []
    for part in _JOINTS.split(plain):
        change = _one(part.strip())
        if isinstance(change, str):
            return Spelling((), change)
        changes.append(change)
    changes.sort(key=lambda change: change.position)
    for first, second in pairwise(changes):
        if first.position == second.position:
            return Spelling((), f"position {first.position} is changed twice")
    return Spelling(tuple(changes))


@lru_cache(maxsize=65_536)
def _one(part: str) -> Change | str:
    """One substitution, or why it is none."""
    plain = part.removeprefix("p.").removeprefix("P.")
    if plain.startswith("(") and plain.endswith(")"):
        plain = plain[1:-1]
    length = "which is not scored: the models compare sequences of one length"
    lower = plain.lower()
    if lower.startswith(_STOPS):
        return f"{part!r}: the stop is lost, {length}"
    if _DNA.match(plain):
        return f"{part!r} is a change of DNA or RNA; give the protein's, such as p.Arg175His"
    if _INDEL.search(plain):
        return f"{part!r}: indels are not scored: the models compare sequences of one length"
    found = _ONE.fullmatch(plain)
    if found is None:
        return f"{part!r} is not a substitution such as A24C or p.Ala24Cys"
    wild, position, to = found[1], int(found[2]), found[3]
    if to.lower() in _STOPS:
        return f"{part!r}: a stop is gained, {length}"
    letters: list[str] = []
    for residue in (wild, wild if to == "=" else to):
        letter = _THREE.get(residue.lower(), residue.upper())
        if letter not in ALPHABET or len(letter) != 1:
            return f"{part!r}: {residue!r} is not one of the twenty residues"
        letters.append(letter)
    return Change(letters[0], position, letters[1])
