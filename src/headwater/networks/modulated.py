"""Residual multilayer perceptron whose every block is scaled and shifted by an embedding of time and context."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["ModulatedMLP", "modulate"]


def modulate(
    h: Float[Tensor, "batch width *places"], scale_and_shift: Float[Tensor, "batch twice_the_width"]
) -> Float[Tensor, "batch width *places"]:
    """``h (1 + scale) + shift`` with a scale and a shift per channel (FiLM).

    Reference: FiLM: Visual Reasoning with a General Conditioning Layer (Perez, Strub, de Vries, Dumoulin & Courville,
    2018), https://arxiv.org/abs/1709.07871.
    """
    scale, shift = scale_and_shift.reshape(*scale_and_shift.shape, *[1] * (h.ndim - 2)).chunk(2, dim=1)
    return h * (1 + scale) + shift


class _Block(nn.Module):
    """``h + W2 silu(W1 (norm(h) (1 + a(c)) + b(c)))``; W2 starts at zero, so that the block starts as the identity."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(condition, 2 * width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(
        self, h: Float[Tensor, "batch width"], c: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch width"]:
        inner = modulate(self.norm(h), self.modulation(c))
        return h + torch.as_tensor(self.outer(nn.functional.silu(self.inner(inner))))


class ModulatedMLP(nn.Module):
    """Linear in, ``blocks`` modulated residual blocks of ``width``, linear out, the output starting at zero.

    Args:
        features: Length of the input.
        out: Length of the output.
        width: Hidden width.
        blocks: Number of residual blocks.
        condition: Length of the embedding that modulates.

    References: FiLM (see :func:`modulate`); zero-initialised residual blocks: Accurate, Large Minibatch SGD (Goyal et
    al., 2017), https://arxiv.org/abs/1706.02677.

    >>> ModulatedMLP(3, 2, width=16, blocks=1, condition=4)(torch.zeros(5, 3), torch.zeros(5, 4)).shape
    torch.Size([5, 2])
    """

    def __init__(self, features: int, out: int, *, width: int, blocks: int, condition: int) -> None:
        super().__init__()
        self.entry = nn.Linear(features, width)
        self.blocks = nn.ModuleList(_Block(width, condition) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.exit = nn.Linear(width, out)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(self.exit.bias)

    def forward(
        self, x: Float[Tensor, "batch features"], c: Float[Tensor, "batch condition"]
    ) -> Float[Tensor, "batch out"]:
        c = nn.functional.silu(c)
        h = self.entry(x)
        for block in self.blocks:
            h = block(h, c)
        out: Tensor = self.exit(nn.functional.silu(self.norm(h)))
        return out
