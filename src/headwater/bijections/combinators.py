"""Bijections made of bijections: one after another, backwards, on a part, several times."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection, DataDependent
from headwater.networks.columns import reorder

__all__ = ["Compose", "Indexed", "Inverse", "Repeat", "layers"]


class Compose(Bijection):
    """``f = f_n ∘ ... ∘ f_1``: the first one given meets the data first.

    ``log|det df/dx| = sum_i log|det df_i/dx_{i-1}|`` and the same for the inverse,
    taken in the opposite order.

    >>> from headwater.bijections.permutation import Permutation
    >>> flip = Permutation.reverse(3)
    >>> z, ladj = Compose(flip, flip)(torch.tensor([[1.0, 2.0, 3.0]]))
    >>> z.tolist(), ladj.tolist()
    ([[1.0, 2.0, 3.0]], [0.0])
    """

    def __init__(self, *bijections: Bijection) -> None:
        super().__init__()
        self.parts = nn.ModuleList(bijections)

    def forward(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *image"], Float[Tensor, " batch"]]:
        total = x.new_zeros(x.shape[0])
        for part in self.parts:
            x, ladj = part(x, context)
            total = total + ladj
        return x, total

    def inverse(
        self, z: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *image"], Float[Tensor, " batch"]]:
        total = z.new_zeros(z.shape[0])
        for part in reversed(self.parts):
            assert isinstance(part, Bijection)
            z, ladj = part.inverse(z, context)
            total = total + ladj
        return z, total


class Inverse(Bijection):
    """``f^-1`` as a bijection: swaps the fast direction of an autoregressive one (MAF to IAF)."""

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection

    def forward(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        return self.bijection.inverse(x, context)

    def inverse(
        self, z: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        z, ladj = self.bijection(z, context)
        return z, ladj


class Indexed(Bijection):
    """A bijection of some elements of a vector; the others stay.

    ``f(x)_S = g(x_S)``, ``f(x)_{not S} = x_{not S}``; the log-determinants are those of ``g``.

    Args:
        bijection: ``g``, a bijection of vectors of ``len(index)`` elements.
        index: ``S``, the elements it takes, in the order in which it takes them.
        features: Length of the whole vector.
    """

    order: Int64[Tensor, " features"]
    back: Int64[Tensor, " features"]

    def __init__(self, bijection: Bijection, index: Sequence[int], features: int) -> None:
        super().__init__()
        self.bijection = bijection
        rest = sorted(set(range(features)) - set(index))
        assert len(rest) + len(index) == features, "index must name distinct elements of the vector"
        self.taken = len(index)
        self.register_buffer("order", torch.tensor([*index, *rest], dtype=torch.int64), persistent=False)
        self.register_buffer("back", torch.argsort(self.order), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        taken, rest = self._apart(x)
        part, ladj = self.bijection(taken, context)
        return self._together(part, rest), ladj

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        taken, rest = self._apart(z)
        part, ladj = self.bijection.inverse(taken, context)
        return self._together(part, rest), ladj

    def _apart(self, x: Tensor) -> tuple[Tensor, ...]:
        return reorder(x, self.order, self.back).tensor_split([self.taken], dim=1)

    def _together(self, part: Tensor, rest: Tensor) -> Tensor:
        return reorder(torch.cat([part, rest], dim=1), self.back, self.order)


class Repeat(Bijection):
    """``f = g ∘ ... ∘ g``, ``times`` times with the same parameters."""

    def __init__(self, bijection: Bijection, times: int) -> None:
        super().__init__()
        self.bijection = bijection
        self.times = times

    def forward(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        total = x.new_zeros(x.shape[0])
        for _ in range(self.times):
            x, ladj = self.bijection(x, context)
            total = total + ladj
        return x, total

    def inverse(
        self, z: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        total = z.new_zeros(z.shape[0])
        for _ in range(self.times):
            z, ladj = self.bijection.inverse(z, context)
            total = total + ladj
        return z, total

    def extra_repr(self) -> str:
        return f"times={self.times}"


def layers(bijection: Bijection) -> tuple[Bijection, ...]:
    """The parts of a composition as the data meets them; a normalization and what follows it up to the next are one.

    Where nothing normalizes, every part is a layer; what is not composed is one layer.

    >>> from headwater.bijections.permutation import Permutation
    >>> len(layers(Compose(Permutation.reverse(2), Permutation.reverse(2))))
    2
    """
    if not isinstance(bijection, Compose):
        return (bijection,)
    parts = [part for part in bijection.parts if isinstance(part, Bijection)]
    starts = [i for i, part in enumerate(parts) if isinstance(part, DataDependent)]
    if len(starts) < 2:
        return tuple(parts)
    ends = [*starts[1:], len(parts)]
    runs = [parts[: starts[0]], *(parts[start:end] for start, end in zip(starts, ends, strict=True))]
    return tuple(run[0] if len(run) == 1 else Compose(*run) for run in runs if run)
