"""Means of many draws without keeping them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["RunningMean"]


class RunningMean:
    """Mean and standard error of vectors that come one by one.

    Note on a Method for Calculating Corrected Sums of Squares and Products (Welford, 1962),
    https://doi.org/10.1080/00401706.1962.10490022.

    Args:
        zeros: Of the vectors' shape and type.

    >>> running = RunningMean(torch.zeros(1))
    >>> for value in (1.0, 3.0):
    ...     running.add(torch.tensor([value]))
    >>> running.mean, running.stderr
    (tensor([2.]), tensor([1.]))
    """

    def __init__(self, zeros: Float[Tensor, " batch"]) -> None:
        self.count = 0
        self.mean, self._squares = zeros.clone(), zeros.clone()

    def add(self, value: Float[Tensor, " batch"]) -> None:
        """Take in one more draw."""
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self._squares += delta * (value - self.mean)

    @property
    def stderr(self) -> Float[Tensor, " batch"]:
        """Of the mean; infinite for one draw, which says nothing of its error."""
        if self.count < 2:
            return torch.full_like(self.mean, torch.inf)
        return (self._squares / (self.count - 1) / self.count).sqrt()
