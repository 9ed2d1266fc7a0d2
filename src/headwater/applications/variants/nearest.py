"""How near sampled sequences are to the nearest natural one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64, UInt8

from headwater.errors import UsageError

__all__ = ["nearest_identity"]

_RESIDUES = 20
_ENTRIES = 2**22  # of one tile of indicators: 16 MiB of float32
_MOST_ROWS = 1024


def nearest_identity(
    samples: UInt8[np.ndarray, "n columns"], natural: UInt8[np.ndarray, "big_n columns"]
) -> tuple[Float[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Share of a sample's residues that its most similar natural sequence has in the same columns.

    identity(s) = max over t of #{i : s_i = t_i, s_i no gap} / #{i : s_i no gap}

    A gap never matches, so a fragment does not count as near because it is short. Tiles of indicators are multiplied;
    memory stays below about 60 MiB whatever the sizes (one row of a sequence longer than 200,000 columns aside).

    Args:
        samples: Codes 0..19, 20 a gap, (n, L).
        natural: Likewise, (N, L), at least one.

    Returns:
        Identities in 0..1 and the rows of ``natural``; of equals the first.

    Raises:
        UsageError: no natural sequence, a code above 20, or a sample of gaps only.
    """
    if not len(natural) or not natural.shape[1]:
        raise UsageError(
            f"Nearest sequences are sought among at least one of at least one column; got {natural.shape}.",
            hint="Give the rows of the alignment.",
        )
    if max(samples.max(initial=0), natural.max(initial=0)) > _RESIDUES:
        raise UsageError(
            "Sequences are codes from 0 to 20; got a greater one.",
            hint="Encode residues as ACDEFGHIKLMNPQRSTVWY and a gap as 20.",
        )
    residues = (samples < _RESIDUES).sum(1)
    if (residues == 0).any():
        raise UsageError(
            f"A sample has at least one residue; sample {int(np.argmin(residues))} is all gaps.",
            hint="Leave samples without residues out.",
        )
    best = np.full(len(samples), -1.0, dtype=np.float32)
    index = np.zeros(len(samples), dtype=np.int64)
    rows = max(1, min(_MOST_ROWS, _ENTRIES // (_RESIDUES * natural.shape[1])))
    for first in range(0, len(natural), rows):
        theirs = _indicators(natural[first : first + rows])
        for start in range(0, len(samples), rows):
            part = slice(start, start + rows)
            matches = _indicators(samples[part]) @ theirs.T
            nearest = matches.argmax(1)
            found = np.take_along_axis(matches, nearest[:, None], axis=1)[:, 0]
            nearer = found > best[part]
            best[part] = np.where(nearer, found, best[part])
            index[part] = np.where(nearer, first + nearest, index[part])
    return best.astype(np.float64) / residues, index


def _indicators(codes: UInt8[np.ndarray, "n columns"]) -> Float[np.ndarray, "n classes"]:
    return (codes[:, :, None] == np.arange(_RESIDUES, dtype=np.uint8)).astype(np.float32).reshape(len(codes), -1)
