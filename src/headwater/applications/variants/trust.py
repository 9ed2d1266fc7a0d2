"""How far scores from an alignment can be trusted, said in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Trust", "per_position", "trust"]

_SHALLOW, _DEEP = 2.0, 10.0
_HEAVY = 0.25


@dataclass(frozen=True)
class Trust:
    """A level, for a badge, and the words that go with it."""

    level: Literal["shallow", "moderate", "deep"]
    words: str


def per_position(neff: float, columns: int) -> str:
    """Effective sequences per position, in two digits or whole.

    >>> per_position(132.0, 300), per_position(3000.0, 22)
    ('0.44', '136')
    """
    depth = neff / columns
    return f"{depth:.2g}" if depth < 10 else f"{depth:,.0f}"


def trust(neff: float, columns: int, counting_share: float | None = None) -> Trust:
    """Judge an alignment by its depth, Neff / L: shallow below 2, deep from 10.

    The limits are a rule of thumb from published comparisons, assay by assay, of such models with counting: on shallow
    alignments either may win, by little; on most deep ones counting loses clearly.

    Args:
        neff: Effective number of sequences.
        columns: Modelled positions, L.
        counting_share: Share of the ensemble that counting by column carries, 0 to 1; None: not known.

    >>> trust(132.0, 300).level, trust(3000.0, 250).level
    ('shallow', 'deep')
    """
    depth, said = neff / columns, per_position(neff, columns)
    facts = f"{neff:,.0f} effective sequences for {columns:,} positions, {said} for each"
    carries = "" if counting_share is None else f"Counting carries {counting_share:.0%} of the ensemble here. "
    if depth < _SHALLOW:
        words = (
            f"The alignment is shallow ({facts}). What positions do to each other can hardly be learnt from so few; "
            f"counting residues column by column is then hard to beat. {carries}"
        )
        if counting_share is not None and counting_share < _HEAVY:
            words += "That is little for such an alignment: compare with the counting baseline before relying on it. "
        words += "Read the scores as conservation, ranks more than values; more sequences would help most."
        return Trust("shallow", words)
    if depth < _DEEP:
        words = (
            f"The alignment is of moderate depth ({facts}). Models of interactions usually gain something over "
            f"counting residues column by column, seldom much. {carries}Compare with the counting baseline where an "
            "assay allows."
        )
        return Trust("moderate", words)
    words = (
        f"The alignment is deep ({facts}). Models of interactions between positions usually rank variants clearly "
        f"better than counting at such depths. {carries}Scores say what evolution tolerated, not what a variant does "
        "in a patient or in an assay."
    )
    return Trust("deep", words)
