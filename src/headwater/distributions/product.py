"""Independent bases side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.base import Base, Estimated
from headwater.networks.columns import Columns
from headwater.rng import Rng

__all__ = ["Product"]


class Product(Base):
    """``log p(z) = sum_j log p_j(z_(S_j))`` over parts that share out the elements.

    Args:
        bases: The bases, none of which has an estimated constant.
        elements: The elements of each.
    """

    def __init__(self, bases: Sequence[Base], elements: Sequence[Sequence[int]]) -> None:
        super().__init__()
        assert not any(isinstance(base, Estimated) for base in bases), "a product has no standard error"
        self.bases = nn.ModuleList(bases)
        flat = [i for own in elements for i in own]
        self._ends = [0]
        for own in elements:
            self._ends.append(self._ends[-1] + len(own))
        self.sorted, self.order = Columns(flat, of=len(flat)), Columns.inverse(flat)
        self.reparameterized = all(base.reparameterized for base in bases)

    def log_prob(
        self,
        z: Float[Tensor, "batch features"],
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, " batch"]:
        sorted_, total = self.sorted(z), z.new_zeros(z.shape[0])
        for base, (start, stop) in zip(self.bases, pairwise(self._ends), strict=True):
            assert isinstance(base, Base)
            total = total + base.log_prob(sorted_[:, start:stop], context)
        return total

    def sample(
        self,
        rng: Rng,
        context: Float[Tensor, "batch context"] | None = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "batch features"]:
        parts = []
        for j, base in enumerate(self.bases):
            assert isinstance(base, Base)
            parts.append(base.sample(rng.fold(f"part {j}"), context, temperature=temperature, dtype=dtype))
        z: Tensor = self.order(torch.cat(parts, dim=1))
        return z
