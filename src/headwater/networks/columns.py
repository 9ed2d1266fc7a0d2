"""Take columns of a matrix in an order, with a backward pass that gathers instead of scattering.

Autograd turns the gradient of ``index_select`` into ``index_add``. That is slow, and where the compiler fuses it with
a transposed sum for more than one CPU thread, torch 2.13 writes past the end of the buffer: the step along the
tile is counted twice (https://github.com/pytorch/pytorch/issues/191837, mended upstream in pull request 191861).
So whatever may be compiled and has gradients takes its columns here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

__all__ = ["Columns", "reorder", "take"]


class _Take(torch.autograd.Function):
    """``x`` at ``index`` along ``dim``; ``back`` holds where each slice of ``x`` went, ``len(index)`` for nowhere."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, index: Tensor, back: Tensor, dim: int) -> Tensor:
        return x.index_select(dim, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])
        ctx.dim = inputs[3]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (back,), (grad,) = ctx.saved_tensors, grads
        if len(back) > grad.shape[ctx.dim]:
            nothing = torch.zeros_like(grad.narrow(ctx.dim, 0, 1))
            grad = torch.cat([grad, nothing], dim=ctx.dim)
        return grad.index_select(ctx.dim, back), None, None, None


def take(x: Tensor, index: Int64[Tensor, " taken"], back: Int64[Tensor, " all"], dim: int) -> Tensor:
    """Slice ``i`` of the result is slice ``index[i]`` of ``x`` along ``dim``; ``back[j]`` is where slice ``j`` went.

    Slices that are not taken have ``back[j] = len(index)``.
    """
    taken: Tensor = _Take.apply(x, index, back, dim)  # type: ignore[no-untyped-call]
    return taken


def reorder(
    x: Float[Tensor, "batch features"], order: Int64[Tensor, " features"], back: Int64[Tensor, " features"]
) -> Float[Tensor, "batch features"]:
    """Column ``i`` of the result is column ``order[i]`` of ``x``; ``back`` is the inverse of ``order``.

    The result lies in memory column after column, as the networks and splines want it.
    """
    return take(x.t(), order, back, 0).t()


class Columns(nn.Module):
    """Column ``i`` of the result is column ``index[i]`` of the input; channels, where the input is maps.

    Args:
        index: Columns, none twice.
        of: How many columns there are.

    >>> Columns([2, 0], of=3)(torch.tensor([[1.0, 2.0, 3.0]])).tolist()
    [[3.0, 1.0]]
    """

    index: Int64[Tensor, " taken"]
    back: Int64[Tensor, " columns"]

    def __init__(self, index: Sequence[int], *, of: int) -> None:
        super().__init__()
        assert index, "at least one column"
        assert len(set(index)) == len(index), "no column twice"
        back = torch.full((of,), len(index))
        back[list(index)] = torch.arange(len(index))
        self.register_buffer("index", torch.tensor(list(index)), persistent=False)
        self.register_buffer("back", back, persistent=False)
        self.all_in_place = list(index) == list(range(of))

    @staticmethod
    def inverse(order: Sequence[int]) -> Columns:
        """Puts columns that stand in ``order`` (a permutation) where they belong."""
        places = sorted(range(len(order)), key=lambda place: order[place])
        return Columns(places, of=len(order))

    def forward(self, x: Tensor) -> Tensor:
        return x if self.all_in_place else take(x, self.index, self.back, 1)

    def __len__(self) -> int:
        return len(self.index)

    def extra_repr(self) -> str:
        return f"{len(self.index)} of {len(self.back)}"
