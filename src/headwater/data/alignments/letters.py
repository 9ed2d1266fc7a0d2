"""Letters and codes: 20 residues, a gap, residues that are not known, and what is no residue at all."""

from __future__ import annotations

import numpy as np

from headwater.data.alignments.info import ALPHABET, GAP, UNKNOWN

__all__ = ["ILLEGAL", "INSERTED", "TABLE", "from_codes", "to_codes"]

ILLEGAL = 255
"""Code of a character that is no residue and no gap."""

INSERTED = bytes(range(ord("a"), ord("z") + 1)) + b"."
"""What stands for insertions in A2M and A3M."""


def _table() -> np.ndarray:
    table = np.full(256, ILLEGAL, dtype=np.uint8)
    for letters, code in (("BJOUXZ", UNKNOWN), ("-.", GAP), *((letter, i) for i, letter in enumerate(ALPHABET))):
        for letter in letters + letters.lower():
            table[ord(letter)] = code
    return table


TABLE = _table()
"""Code of each byte."""

_LETTERS = np.frombuffer((ALPHABET + "-").encode(), dtype=np.uint8)


def to_codes(sequence: bytes) -> np.ndarray:
    """Codes of one sequence.

    >>> to_codes(b"ac-X*").tolist()
    [0, 1, 20, 21, 255]
    """
    return TABLE[np.frombuffer(sequence, dtype=np.uint8)]


def from_codes(codes: np.ndarray) -> np.ndarray:
    """Texts ``(n,)`` of code rows ``(n, L)``; gaps are ``-``.

    >>> from_codes(np.array([[0, 20, 19]], dtype=np.uint8)).tolist()
    ['A-Y']
    """
    letters = np.ascontiguousarray(_LETTERS[codes])
    width = letters.shape[1]
    return letters.view(f"S{width}").reshape(len(codes)).astype(f"U{width}")
