"""A score: log-likelihoods per event that never travel without their kind, unit and protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor

__all__ = ["Kind", "Score"]

Kind = Literal["exact", "lower bound", "estimate"]
_WEAKNESS: dict[Kind, int] = {"exact": 0, "lower bound": 1, "estimate": 2}


@dataclass(frozen=True, eq=False)
class Score:
    """Log-likelihood of each event, in nats.

    Args:
        value: ``log p(x)`` per event, nats.
        kind: ``exact``; ``lower bound`` (in expectation over the draws it used);
            ``estimate`` (unbiased or consistent, with ``stderr``).
        stderr: Standard error of each value due to the estimator's own draws, or None.
        protocol: What it took: number of draws, solver, tolerance, ...
    """

    value: Float[Tensor, " batch"]
    kind: Kind
    stderr: Float[Tensor, " batch"] | None = None
    protocol: Mapping[str, str | int | float] = field(default_factory=dict)

    def shifted(self, ladj: Float[Tensor, " batch"], *, bound: bool = False) -> Score:
        """The score in other coordinates: ``log p + ladj``; ``bound`` when the change drew noise."""
        kind: Kind = max(self.kind, "lower bound" if bound else "exact", key=_WEAKNESS.__getitem__)
        return replace(self, value=self.value + ladj, kind=kind)

    def bits_per_dim(self, size: int) -> Float[Tensor, " batch"]:
        """``-log p / (size ln 2)``: bits per dimension of each event."""
        return -self.value / (size * math.log(2))
