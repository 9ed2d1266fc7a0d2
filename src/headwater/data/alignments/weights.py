"""Sequence weights: a sequence counts as one divided by the number of sequences that are nearly the same.

EVE and DeepSequence: ``w_i = 1 / #{j : C_ij / n_i > 1 - theta}``, where ``C`` are the shared residues and ``n_i`` the
residues of i; gaps never match, so the relation is not symmetric. EVcouplings:
``w_i = 1 / #{j : C_ij / L >= 1 - theta}`` where two gaps match. ``N_eff = sum_i w_i``.

Disease variant prediction with deep generative models of evolutionary data (Frazer et al., 2021),
https://doi.org/10.1038/s41586-021-04043-8; The EVcouplings Python framework (Hopf et al., 2019),
https://doi.org/10.1093/bioinformatics/bty862.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from typing import Literal

import numpy as np

from headwater.data.alignments.info import GAP
from headwater.data.cache import CacheEntry, cached, content_key
from headwater.errors import DataError
from headwater.progress import Phase, Progress, SilentProgress

__all__ = ["least_matches", "neighbour_counts", "sequence_weights"]

_WORTH_KEEPING = 2e9  # letters compared: about a tenth of a second


def least_matches(length: int, accept: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """For each number of residues n = 0 .. length the least m with ``accept(m / n)``; length + 1 where there is none.

    The quotient is the one that float64 gives, so that counts equal those of a comparison of quotients to the last.

    >>> least_matches(5, lambda share: share > 1 - 0.2).tolist()
    [6, 1, 2, 3, 4, 5]
    """
    m = np.arange(length + 1, dtype=np.float64)
    least = np.full(length + 1, length + 1, dtype=np.int64)
    for n in range(1, length + 1):
        accepted = accept(m / n)
        if accepted.any():
            least[n] = int(accepted.argmax())
    return least


def neighbour_counts(
    codes: np.ndarray, theta: float, convention: Literal["eve", "evcouplings"], phase: Phase | None = None
) -> np.ndarray:
    """How many sequences are nearly the same as each, itself included; 0 where it has no residues. ``(N,)`` int64."""
    from headwater.data.alignments.matches import count_neighbours

    length = codes.shape[1]
    if convention == "evcouplings":
        least = least_matches(length, lambda share: share >= 1 - theta)[length]
        return count_neighbours(codes, np.full(len(codes), least), gaps=True, phase=phase)
    residues = length - (codes == GAP).sum(axis=1)
    return count_neighbours(codes, least_matches(length, lambda share: share > 1 - theta)[residues], phase=phase)


def sequence_weights(
    codes: np.ndarray,
    theta: float,
    convention: Literal["eve", "evcouplings", "none"],
    progress: Progress | None = None,
) -> np.ndarray:
    """Weights ``(N,)`` float64 of code rows ``(N, L)``; kept in the cache under content and settings where it pays.

    Raises:
        DataError: no sequence has a residue.
    """
    if convention == "none":
        return np.ones(len(codes))
    with (progress or SilentProgress()).phase("Weighing sequences", total=len(codes), unit="sequences") as phase:
        if float(len(codes)) ** 2 * codes.shape[1] < _WORTH_KEEPING:
            counts = neighbour_counts(codes, theta, convention, phase)
        else:
            counts = _through_cache(codes, theta, convention, phase)
    if not counts.any():
        raise DataError("No sequence of the alignment has a residue in the modelled columns.")
    return np.where(counts > 0, 1.0 / np.maximum(counts, 1), 0.0)


def _through_cache(
    codes: np.ndarray, theta: float, convention: Literal["eve", "evcouplings"], phase: Phase
) -> np.ndarray:
    content = hashlib.sha256(np.ascontiguousarray(codes).data).hexdigest()
    key = content_key([], {"weights": 1, "content": content, "shape": codes.shape, "theta": theta, "as": convention})

    def fill(entry: CacheEntry) -> None:
        counts = neighbour_counts(codes, theta, convention, phase)
        np.save(entry.folder / "counts.npy", counts)
        entry.write({"sha256": hashlib.sha256(counts.tobytes()).hexdigest(), "rows": len(counts)})

    entry = cached(key, fill)
    counts = _verified(entry, len(codes))
    if counts is None:  # damaged on disk: nothing of it is used
        shutil.rmtree(entry.folder, ignore_errors=True)
        counts = _verified(cached(key, fill), len(codes))
    return neighbour_counts(codes, theta, convention) if counts is None else counts


def _verified(entry: CacheEntry, rows: int) -> np.ndarray | None:
    """The counts of an entry if it holds what was written."""
    try:
        told, counts = entry.read(), entry.load("counts")
    except (OSError, ValueError, EOFError):
        return None
    if counts is None or counts.shape != (rows,) or counts.dtype != np.int64 or not isinstance(told, dict):
        return None
    counts = np.array(counts)
    return counts if told.get("sha256") == hashlib.sha256(counts.tobytes()).hexdigest() else None
