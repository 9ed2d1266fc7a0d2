"""Residual multilayer perceptron with optional conditioning by a vector."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.rng import Rng

__all__ = ["ACTIVATIONS", "MLP", "activated", "biased", "columns", "dropout"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "elu": nn.ELU}


def columns(linear: nn.Linear, x: Float[Tensor, "features batch"] | None) -> Float[Tensor, "out batch"]:
    """A linear layer with the batch last."""
    assert x is not None, "the network was built for a condition and is given none"
    out = torch.mm(linear.weight, x)
    return out if linear.bias is None else biased(out, linear.bias)


def biased(out: Float[Tensor, "out batch"], bias: Float[Tensor, " out"]) -> Float[Tensor, "out batch"]:
    """``out + b``, as ``out - (-b)``: of a plus the compiler makes an operation that first copies ``b`` to all rows."""
    return out - (-bias)[:, None]


def activated(
    activation: nn.Module, h: Float[Tensor, "width batch"], keep: Float[Tensor, "width batch"] | None
) -> Float[Tensor, "width batch"]:
    """``act(h) * keep``: hidden units times the factors of dropout, where there are any.

    Factors are not negative, so that for ReLU it is ``act(h * keep)``, whose gradient needs nothing beside its value.
    """
    if keep is None:
        return torch.as_tensor(activation(h))
    return torch.as_tensor(activation(h * keep) if isinstance(activation, nn.ReLU) else activation(h) * keep)


def dropout(
    rng: Rng | None, block: int, share: float, width: int, dtype: torch.dtype
) -> Float[Tensor, "width batch"] | None:
    """The factors of a block's hidden units; None where nothing is dropped."""
    return None if rng is None or not share else rng.fold(block).dropout("dropout", share, width).to(dtype)


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
        self,
        h: Float[Tensor, "width batch"],
        c: Float[Tensor, "condition batch"] | None,
        keep: Float[Tensor, "width batch"] | None = None,
    ) -> Float[Tensor, "width batch"]:
        inner = columns(self.inner, self.activation(h))
        if self.condition is not None:
            inner = inner + columns(self.condition, c)
        return h + columns(self.outer, activated(self.activation, inner, keep))


class _Plain(nn.Module):
    """``W act(h) + V c``."""

    def __init__(self, width: int, condition: int, activation: str) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.inner = nn.Linear(width, width)
        self.condition = nn.Linear(condition, width, bias=False) if condition else None

    def forward(
        self,
        h: Float[Tensor, "width batch"],
        c: Float[Tensor, "condition batch"] | None,
        keep: Float[Tensor, "width batch"] | None = None,
    ) -> Float[Tensor, "width batch"]:
        inner = columns(self.inner, activated(self.activation, h, keep))
        if self.condition is not None:
            inner = inner + columns(self.condition, c)
        return inner


class MLP(nn.Module):
    """Linear in, ``blocks`` residual blocks of ``width`` (or plain layers), linear out.

    Args:
        features: Length of the input.
        out: Length of the output.
        width: Hidden width.
        blocks: Number of two-layer residual blocks, or of plain layers after the first.
        condition: Length of a conditioning vector given to every block; 0 for none.
        activation: A key of :data:`ACTIVATIONS`.
        zero_init: Start the output at zero (couplings start as the identity).
        residual: Residual blocks, or plain layers.
        dropout: Share of the units of every block that is dropped where :meth:`columns` is given ``rng``. Dropout
            (Srivastava et al., 2014), https://jmlr.org/papers/v15/srivastava14a.html.

    >>> MLP(3, 2, width=16, blocks=1)(torch.zeros(5, 3)).shape
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
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout, self.width = dropout, width
        self.entry = nn.Linear(features + condition, width)
        self.blocks = nn.ModuleList(
            (_Block if residual else _Plain)(width, condition, activation) for _ in range(blocks)
        )
        self.activation = ACTIVATIONS[activation]()
        self.exit = nn.Linear(width, out)
        if zero_init:
            nn.init.zeros_(self.exit.weight)
            nn.init.zeros_(self.exit.bias)

    def forward(
        self, x: Float[Tensor, "batch features"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch out"]:
        out: Tensor = self.exit(self._hidden(x, c).t())
        return out

    def columns(
        self,
        x: Float[Tensor, "batch features"],
        c: Float[Tensor, "batch condition"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, "out batch"]:
        """The same with the batch last, so that each output is one run of memory; with dropout, given ``rng``."""
        return columns(self.exit, self._hidden(x, c, rng))

    def _hidden(self, x: Tensor, c: Tensor | None, rng: Rng | None = None) -> Tensor:
        across = None if c is None else c.t()
        h = columns(self.entry, x.t() if across is None else torch.cat([x.t(), across]))
        for number, block in enumerate(self.blocks):
            h = block(h, across, dropout(rng, number, self.dropout, self.width, h.dtype))
        return self.activation(h)
