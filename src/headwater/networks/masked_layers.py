"""Hidden layers of a masked network, computed at once or a few units after another; the batch stands last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.networks.masked_linear import MaskedLinear
from headwater.networks.mlp import ACTIVATIONS, activated, columns

__all__ = ["Block", "Layer", "Plain"]


class Layer(nn.Module, ABC):
    """What a hidden layer does: to all units, or in a sweep to the next ones."""

    stores: int
    condition: nn.Linear | None

    @abstractmethod
    def forward(
        self,
        h: Float[Tensor, "width batch"],
        c: Float[Tensor, "condition batch"] | None,
        keep: Float[Tensor, "width batch"] | None = None,
    ) -> Float[Tensor, "width batch"]:
        """All units; ``keep`` are factors of dropout."""

    def shift(self, c: Float[Tensor, "condition batch"] | None) -> Float[Tensor, "width batch"] | None:
        """``V c``; None where there is no condition."""
        return None if self.condition is None else columns(self.condition, c)

    @abstractmethod
    def advance(
        self,
        h: Float[Tensor, "new batch"],
        stores: Sequence[Float[Tensor, "width batch"]],
        new: slice,
        shift: Float[Tensor, "width batch"] | None,
    ) -> Float[Tensor, "new batch"]:
        """The units ``new`` from their input and what earlier ones left in the ``stores``; adds theirs to them."""


class Block(Layer):
    """``h + W2 act(W1 act(h) + V c)`` with masked ``W1``, ``W2``; starts close to the identity."""

    stores = 2

    def __init__(self, degrees: Int64[Tensor, " width"], condition: int, activation: str) -> None:
        super().__init__()
        mask = degrees[:, None] >= degrees[None, :]
        self.activation = ACTIVATIONS[activation]()
        self.inner = MaskedLinear(mask)
        self.outer = MaskedLinear(mask, scale=0.05)
        self.condition = nn.Linear(condition, len(degrees), bias=False) if condition else None

    def forward(
        self,
        h: Float[Tensor, "width batch"],
        c: Float[Tensor, "condition batch"] | None,
        keep: Float[Tensor, "width batch"] | None = None,
    ) -> Float[Tensor, "width batch"]:
        inner, shift = self.inner.columns(self.activation(h)), self.shift(c)
        return h + self.outer.columns(activated(self.activation, inner if shift is None else inner + shift, keep))

    def advance(
        self,
        h: Float[Tensor, "new batch"],
        stores: Sequence[Float[Tensor, "width batch"]],
        new: slice,
        shift: Float[Tensor, "width batch"] | None,
    ) -> Float[Tensor, "new batch"]:
        first, second = stores
        first[new] = self.activation(h)
        inner = self.inner.part(first[: new.stop], new)
        second[new] = self.activation(inner if shift is None else inner + shift[new])
        return h + self.outer.part(second[: new.stop], new)


class Plain(Layer):
    """``W act(h) + V c`` with masked ``W``."""

    stores = 1

    def __init__(self, degrees: Int64[Tensor, " width"], condition: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.inner = MaskedLinear(degrees[:, None] >= degrees[None, :])
        self.condition = nn.Linear(condition, len(degrees), bias=False) if condition else None

    def forward(
        self,
        h: Float[Tensor, "width batch"],
        c: Float[Tensor, "condition batch"] | None,
        keep: Float[Tensor, "width batch"] | None = None,
    ) -> Float[Tensor, "width batch"]:
        inner, shift = self.inner.columns(activated(self.activation, h, keep)), self.shift(c)
        return inner if shift is None else inner + shift

    def advance(
        self,
        h: Float[Tensor, "new batch"],
        stores: Sequence[Float[Tensor, "width batch"]],
        new: slice,
        shift: Float[Tensor, "width batch"] | None,
    ) -> Float[Tensor, "new batch"]:
        stores[0][new] = self.activation(h)
        inner = self.inner.part(stores[0][: new.stop], new)
        return inner if shift is None else inner + shift[new]
