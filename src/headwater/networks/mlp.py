"""Residual multilayer perceptron with optional conditioning by a vector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "ResidualMLP"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "elu": nn.ELU}


class _Block(nn.Module):
    """``h + W2 act(W1 act(h) + V c)``, with W2 starting at zero so that the block starts as the identity."""

    def __init__(self, width: int, condition: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.condition = nn.Linear(condition, width, bias=False) if condition else None
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(
        self, h: Float[Tensor, "batch width"], c: Float[Tensor, "batch condition"] | None
    ) -> Float[Tensor, "batch width"]:
        inner = self.inner(self.activation(h))
        if self.condition is not None:
            assert c is not None
            inner = inner + self.condition(c)
        return h + torch.as_tensor(self.outer(self.activation(inner)))


class ResidualMLP(nn.Module):
    """Linear in, ``blocks`` residual blocks of ``width``, linear out.

    Args:
        features: Length of the input.
        out: Length of the output.
        width: Hidden width.
        blocks: Number of two-layer residual blocks.
        condition: Length of a conditioning vector given to every block; 0 for none.
        activation: A key of :data:`ACTIVATIONS`.
        zero_init: Start the output at zero (couplings start as the identity).

    >>> ResidualMLP(3, 2, width=16, blocks=1)(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        features: int,
        out: int,
        *,
        width: int = 128,
        blocks: int = 2,
        condition: int = 0,
        activation: str = "silu",
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.entry = nn.Linear(features + condition, width)
        self.blocks = nn.ModuleList(_Block(width, condition, activation) for _ in range(blocks))
        self.activation = ACTIVATIONS[activation]()
        self.exit = nn.Linear(width, out)
        if zero_init:
            nn.init.zeros_(self.exit.weight)
            nn.init.zeros_(self.exit.bias)

    def forward(
        self, x: Float[Tensor, "batch features"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch out"]:
        h = self.entry(x if c is None else torch.cat([x, c], dim=-1))
        for block in self.blocks:
            h = block(h, c)
        out: Tensor = self.exit(self.activation(h))
        return out
