"""Another order of the elements."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.networks.columns import reorder

__all__ = ["Permutation"]


class Permutation(Bijection):
    """``z_i = x_{p(i)}``; the inverse is ``x_{p(i)} = z_i``; both log-determinants are zero.

    Args:
        order: ``p``, a permutation of 0 .. features-1.

    >>> Permutation([2, 0, 1])(torch.tensor([[10.0, 20.0, 30.0]]))[0].tolist()
    [[30.0, 10.0, 20.0]]
    """

    order: Int64[Tensor, " features"]
    back: Int64[Tensor, " features"]

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        assert sorted(order) == list(range(len(order))), "order must be a permutation"
        self.register_buffer("order", torch.tensor(list(order), dtype=torch.int64), persistent=False)
        self.register_buffer("back", torch.argsort(self.order), persistent=False)

    @staticmethod
    def reverse(features: int) -> Permutation:
        """Last first."""
        return Permutation(range(features - 1, -1, -1))

    @staticmethod
    def random(features: int, seed: int) -> Permutation:
        """The permutation that a seed stands for, on every machine."""
        generator = torch.Generator().manual_seed(seed)
        return Permutation(torch.randperm(features, generator=generator).tolist())

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return reorder(x, self.order, self.back), x.new_zeros(x.shape[0])

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return reorder(z, self.back, self.order), z.new_zeros(z.shape[0])

    def extra_repr(self) -> str:
        order = self.order.tolist()
        return str(order) if len(order) <= 8 else f"{len(order)} features"
