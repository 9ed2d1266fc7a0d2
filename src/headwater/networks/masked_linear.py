"""Linear layer in which some outputs do not see some inputs."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from headwater.networks.mlp import biased

__all__ = ["MaskedLinear"]


class _MaskGradient(torch.autograd.Function):
    """The identity whose gradient is masked: weights that start masked stay so, without a product per forward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, mask: Tensor) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.saved_tensors[0], None


def _mask_gradient(weight: Float[Tensor, "out features"], mask: Bool[Tensor, "out features"]) -> Tensor:
    return _MaskGradient.apply(weight, mask)  # type: ignore[no-untyped-call]


class MaskedLinear(nn.Module):
    """``y = (M * W) x + b`` with a fixed binary ``M``, kept as a pre-masked ``W`` whose gradient is masked.

    The forward pass is a plain matrix product. Any optimizer that leaves a weight
    of zero with a gradient of zero where it is (SGD, Adam, AdamW) keeps the mask.

    Args:
        mask: ``M``, shape (out, in); true where an output may see an input.
        scale: Multiplies the initial weights and biases, which are uniform within
            ``scale / sqrt(number of inputs the output sees)``.
    """

    mask: Bool[Tensor, "out features"]

    def __init__(self, mask: Bool[Tensor, "out features"], *, scale: float = 1.0) -> None:
        super().__init__()
        bound = scale / mask.sum(dim=1, keepdim=True).clamp(min=1).sqrt()
        weight = torch.empty(mask.shape).uniform_(-1, 1) * bound * mask
        self.register_buffer("mask", mask, persistent=False)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(mask.shape[0]).uniform_(-1, 1) * bound[:, 0])

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch out"]:
        return nn.functional.linear(x, _mask_gradient(self.weight, self.mask), self.bias)

    def columns(self, x: Float[Tensor, "features batch"]) -> Float[Tensor, "out batch"]:
        """The same with the batch last, so that each output is one run of memory."""
        return biased(torch.mm(_mask_gradient(self.weight, self.mask), x), self.bias)

    def part(self, x: Float[Tensor, "seen batch"], rows: slice) -> Float[Tensor, "rows batch"]:
        """Only these outputs, from the first ``seen`` inputs, batch last; the caller knows that the rest is masked."""
        return torch.addmm(self.bias[rows, None], self.weight[rows, : len(x)], x)

    def extra_repr(self) -> str:
        return f"{self.mask.shape[1]}, {self.mask.shape[0]}"
