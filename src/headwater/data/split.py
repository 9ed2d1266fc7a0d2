"""Who trains, who is held out: a pure function of each row's content and the seed of the split.

Equal rows land together, so no duplicate straddles; a row stays where it is when others are added. Splits that
the data brings are taken as they are, and what leaks between them is counted.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from headwater.data.hashing import mix
from headwater.errors import DataError

__all__ = ["count_duplicates", "count_leaks", "split_rows"]

_UNIT = 2.0**-64


def split_rows(
    hashes: np.ndarray, *, valid: float, test: float, seed: int, fixed: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Sorted row numbers of ``train``, ``valid`` and ``test``.

    ``u = mix(hash + seed) / 2^64`` is uniform; rows with ``u < test`` are tested on, those with
    ``u < test + valid`` validated on. Of ``fixed`` splits only what is missing is carved from ``train``.

    Raises:
        DataError: fewer distinct rows than splits.
    """
    fixed = dict(fixed or {})
    rows = fixed.pop("train", None)
    rows = np.arange(len(hashes)) if rows is None else np.asarray(rows)
    if fixed and len(rows) == len(hashes):
        rows = np.setdiff1d(rows, np.concatenate(list(fixed.values())))
    shares = {name: share for name, share in (("test", test), ("valid", valid)) if name not in fixed}
    key = mix(hashes[rows] + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64))
    places = _assign(key, list(shares.values()))
    splits = {name: rows[places == i] for i, name in enumerate(shares)}
    splits |= {name: np.asarray(given) for name, given in fixed.items()}
    splits["train"] = rows[places == len(shares)]
    return {name: np.sort(splits[name]).astype(np.int64) for name in ("train", "valid", "test")}


def _assign(key: np.ndarray, shares: list[float]) -> np.ndarray:
    """The place of each row: 0, 1, ... for the shares in order, the last for the rest; none is empty."""
    edges = np.cumsum(shares)
    places = np.searchsorted(edges, key * _UNIT, side="right") if shares else np.zeros(len(key), dtype=np.int64)
    counts = np.bincount(places, minlength=len(shares) + 1)
    if counts.all():
        return places
    distinct = np.unique(key)  # in order of u: moving a border by a whole group keeps duplicates together
    if len(distinct) < len(shares) + 1:
        raise DataError(
            f"Expected at least {len(shares) + 1} distinct rows to train and hold out, got {len(distinct)}"
            f" ({len(key)} rows in all).",
            hint="Give more data.",
        )
    sizes = [max(1, round(share * len(distinct))) for share in shares]
    while sum(sizes) >= len(distinct):
        sizes[int(np.argmax(sizes))] -= 1
    return np.searchsorted(np.cumsum(sizes), np.searchsorted(distinct, key), side="right")


def count_duplicates(hashes: np.ndarray) -> int:
    """Rows that are equal to an earlier one."""
    return len(hashes) - len(np.unique(hashes))


def count_leaks(hashes: np.ndarray, splits: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Rows of ``valid`` and ``test`` whose content also is in ``train``."""
    trained = np.unique(hashes[splits["train"]])
    return {name: int(np.isin(hashes[splits[name]], trained).sum()) for name in ("valid", "test")}
