"""Reorder the columns of a matrix, with a backward pass that gathers instead of scattering."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["reorder"]


class _Reorder(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, order: Tensor, back: Tensor) -> Tensor:
        return x.t().index_select(0, order).t()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0].t().index_select(0, ctx.saved_tensors[0]).t(), None, None


def reorder(
    x: Float[Tensor, "batch features"], order: Int64[Tensor, " features"], back: Int64[Tensor, " features"]
) -> Float[Tensor, "batch features"]:
    """Column ``i`` of the result is column ``order[i]`` of ``x``; ``back`` is the inverse of ``order``.

    The result lies in memory column after column, as the networks and splines want it.
    Autograd would scatter the gradients of ``index_select``, which is slow, and which the compiler of torch 2.13
    gets wrong on CPUs: its vectorized ``index_add`` was seen to write past the end of its buffer.
    """
    return _Reorder.apply(x, order, back)  # type: ignore[no-untyped-call]
