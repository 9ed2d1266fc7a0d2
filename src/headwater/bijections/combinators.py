"""Bijections made of bijections: one after another, backwards, on a part, several times."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection, DataDependent

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
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        total = x.new_zeros(x.shape[0])
        for part in self.parts:
            x, ladj = part(x, context)
            total = total + ladj
        return x, total

    def inverse(
        self, z: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
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

    index: Int64[Tensor, " some"]
    rest: Int64[Tensor, " others"]
    restore: Int64[Tensor, " features"]

    def __init__(self, bijection: Bijection, index: Sequence[int], features: int) -> None:
        super().__init__()
        self.bijection = bijection
        rest = sorted(set(range(features)) - set(index))
        assert len(rest) + len(index) == features, "index must name distinct elements of the vector"
        self.register_buffer("index", torch.tensor(list(index), dtype=torch.int64), persistent=False)
        self.register_buffer("rest", torch.tensor(rest, dtype=torch.int64), persistent=False)
        self.register_buffer("restore", torch.argsort(torch.tensor([*index, *rest])), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        part, ladj = self.bijection(x.index_select(1, self.index), context)
        return self._whole(x, part), ladj

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        part, ladj = self.bijection.inverse(z.index_select(1, self.index), context)
        return self._whole(z, part), ladj

    def _whole(self, x: Tensor, part: Tensor) -> Tensor:
        return torch.cat([part, x.index_select(1, self.rest)], dim=1).index_select(1, self.restore)


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
