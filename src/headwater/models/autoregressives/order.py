"""In which order an autoregressive model goes through the elements."""

from __future__ import annotations

from typing import Literal

import torch

from headwater.rng import Rng

__all__ = ["element_order"]


def element_order(size: int, kind: Literal["natural", "reversed", "random"], seed: int = 0) -> tuple[int, ...]:
    """The elements ``0 .. size-1``, first to last.

    >>> element_order(3, "reversed")
    (2, 1, 0)
    """
    if kind == "random":
        return tuple(torch.argsort(Rng.of(seed, 1).uniform("order", size, dtype=torch.float64)[0]).tolist())
    return tuple(range(size)) if kind == "natural" else tuple(reversed(range(size)))
