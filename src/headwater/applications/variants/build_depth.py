"""How deep an alignment is, and whether that is deep enough by EVE's rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from headwater.data.alignments.info import GAP, UNKNOWN
from headwater.data.alignments.weights import sequence_weights

__all__ = ["Depth", "effective_number", "merit", "occupied", "reason"]

_OCCUPIED = 0.7
_MOST_WEIGHED = 100_000


@dataclass(frozen=True)
class Depth:
    """What a threshold gives.

    Args:
        bits: Threshold, bits per residue.
        sequences: N, those kept, with the target.
        neff: Their effective number (θ = 0.2, EVE's); None above 100,000 sequences.
        coverage: Share of the target's positions where at least 70 % of the sequences have a residue.
        length: L, of the target.
        rounds: Searches made.
        converged: The last of them found nothing new.
        short: Parts that align less than half of the target, left out.
        same: Copies of the target, left out.
    """

    bits: float
    sequences: int
    neff: float | None
    coverage: float
    length: int
    rounds: int
    converged: bool
    short: int
    same: int

    @property
    def rule(self) -> int:
        """2: EVE's rule (coverage of 0.8, 10 L to 100,000 sequences); 1: relaxed (0.7, up to 200,000); 0: neither."""
        enough = self.sequences >= 10 * self.length
        if enough and self.coverage >= 0.8 and self.sequences <= 100_000:
            return 2
        return int(enough and self.coverage >= 0.7 and self.sequences <= 200_000)


def effective_number(codes: UInt8[np.ndarray, "rows columns"]) -> float | None:
    """Effective number of rows (θ = 0.2, EVE's convention); None where there are more than 100,000."""
    if len(codes) > _MOST_WEIGHED:
        return None
    known = np.where(codes == UNKNOWN, GAP, codes).astype(np.uint8)
    return float(sequence_weights(known, 0.2, "eve").sum())


def occupied(codes: UInt8[np.ndarray, "rows columns"]) -> float:
    """Share of columns where at least 70 % of the rows have a residue."""
    return float(((codes != GAP).mean(axis=0) >= _OCCUPIED).mean())


def merit(depth: Depth) -> tuple[int, bool, float]:
    """What thresholds are compared by: the rule, then not too many sequences, then effective ones."""
    return depth.rule, depth.sequences <= 200_000, float(round(depth.sequences if depth.neff is None else depth.neff))


def reason(depth: Depth, *, given: bool) -> str:
    """Why this threshold, in words."""
    if given:
        return f"{depth.bits:g} bits per residue, as asked for."
    rules = (
        "no threshold meets EVE's rule (at least 10 L sequences and 70 % of the positions covered): the deepest is "
        "written; treat the scores with caution",
        "it meets EVE's relaxed rule (70 % of the positions covered, 10 L to 200,000 sequences)",
        "it meets EVE's rule (80 % of the positions covered, 10 L to 100,000 sequences) with the most effective ones",
    )
    return f"{depth.bits:g} bits per residue: {rules[depth.rule]}."
