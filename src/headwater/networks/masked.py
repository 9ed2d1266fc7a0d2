"""Autoregressive multilayer perceptron: the outputs of a feature see only the features before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from headwater.networks.mlp import ACTIVATIONS

__all__ = ["MaskedLinear", "MaskedMLP"]


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

    def part(self, x: Float[Tensor, "batch seen"], rows: slice) -> Float[Tensor, "batch rows"]:
        """Only these outputs, from the first ``seen`` inputs; the caller knows that the rest is masked."""
        return nn.functional.linear(x, self.weight[rows, : x.shape[1]], self.bias[rows])

    def extra_repr(self) -> str:
        return f"{self.mask.shape[1]}, {self.mask.shape[0]}"


class _Block(nn.Module):
    """``h + W2 act(W1 act(h) + V c)`` with masked ``W1``, ``W2``; starts close to the identity."""

    def __init__(self, degrees: Int64[Tensor, " width"], condition: int, activation: str) -> None:
        super().__init__()
        mask = degrees[:, None] >= degrees[None, :]
        self.activation = ACTIVATIONS[activation]()
        self.inner = MaskedLinear(mask)
        self.outer = MaskedLinear(mask, scale=0.05)
        self.condition = nn.Linear(condition, len(degrees), bias=False) if condition else None

    def forward(
        self, h: Float[Tensor, "batch width"], c: Float[Tensor, "batch condition"] | None
    ) -> Float[Tensor, "batch width"]:
        inner = self.inner(self.activation(h))
        if self.condition is not None:
            inner = inner + self.condition(c)
        return h + torch.as_tensor(self.outer(self.activation(inner)))


class MaskedMLP(nn.Module):
    """Residual MLP in which the outputs of feature ``d`` depend on the features before ``d`` and the condition.

    A hidden unit of degree ``k`` sees the first ``k`` features of the order; degrees
    are spread evenly and sorted, so that all weights are block triangular and every
    one is needed once in a sweep over the features (:meth:`sweep`). With one feature
    no input is ever seen: the network is a function of the condition.

    MADE: Masked Autoencoder for Distribution Estimation (Germain, Gregor, Murray &
    Larochelle, 2015), https://arxiv.org/abs/1502.03509; residual blocks as in Neural
    Spline Flows (Durkan, Bekasov, Murray & Papamakarios, 2019), https://arxiv.org/abs/1906.04032.

    Args:
        features: Number of features ``D``.
        outputs_per_feature: Outputs of each feature; one number, or one per feature.
        width: Hidden width.
        blocks: Number of two-layer residual blocks.
        condition: Length of a conditioning vector that every output sees; 0 for none.
        inputs_per_feature: Inputs of each feature (one-hot categories have several).
        order: The features in the order in which they are generated; None: as they stand.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
        scale: Multiplies the initial weights of the last layer.

    Inputs and outputs stand in the features' own order, whatever ``order`` is.

    >>> net = MaskedMLP(3, 2, width=16, blocks=1)
    >>> net(torch.zeros(5, 3)).shape
    torch.Size([5, 6])
    """

    into: Int64[Tensor, " inputs"]
    out_of: Int64[Tensor, " outputs"]

    def __init__(
        self,
        features: int,
        outputs_per_feature: int | Sequence[int],
        *,
        width: int = 128,
        blocks: int = 2,
        condition: int = 0,
        inputs_per_feature: int | Sequence[int] = 1,
        order: Sequence[int] | None = None,
        activation: str = "silu",
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.order = tuple(range(features)) if order is None else tuple(order)
        assert sorted(self.order) == list(range(features)), "order must be a permutation of the features"
        ins, outs = _sizes(inputs_per_feature, features), _sizes(outputs_per_feature, features)
        self.register_buffer("into", _places(ins, self.order), persistent=False)
        self.register_buffer("out_of", torch.argsort(_places(outs, self.order)), persistent=False)
        ins, outs = [ins[d] for d in self.order], [outs[d] for d in self.order]
        self._inputs_end, self._outputs_end = [0, *accumulate(ins)], [0, *accumulate(outs)]
        rank = torch.arange(features)
        in_rank, out_rank = rank.repeat_interleave(torch.tensor(ins)), rank.repeat_interleave(torch.tensor(outs))
        least = 0 if condition or features == 1 else 1
        degrees = least + torch.arange(width) * (features - least) // width
        self._seen = [0, *(int((degrees <= r).sum()) for r in range(features))]

        self.entry = MaskedLinear(degrees[:, None] > in_rank[None, :]) if features > 1 else None
        self.entry_condition = nn.Linear(condition, width, bias=False) if condition else None
        constant = features == 1 and not condition
        self.blocks = nn.ModuleList(_Block(degrees, condition, activation) for _ in range(0 if constant else blocks))
        self.activation = ACTIVATIONS[activation]()
        self.exit = MaskedLinear(out_rank[:, None] >= degrees[None, :], scale=scale) if not constant else None
        self.exit_condition = nn.Linear(condition, sum(outs), bias=False) if condition else None
        self.constant = nn.Parameter(torch.zeros(sum(outs))) if constant else None
        self.width = width
        if self.exit_condition is not None:
            nn.init.uniform_(self.exit_condition.weight, -scale / math.sqrt(condition), scale / math.sqrt(condition))

    def forward(
        self, x: Float[Tensor, "batch inputs"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs"]:
        if self.exit is None:
            assert self.constant is not None
            return self.constant.expand(x.shape[0], -1)
        h = x.new_zeros(x.shape[0], self.width) if self.entry is None else self.entry(x.index_select(1, self.into))
        if self.entry_condition is not None:
            h = h + self.entry_condition(c)
        for block in self.blocks:
            h = block(h, c)
        out: Tensor = self.exit(self.activation(h))
        if self.exit_condition is not None:
            out = out + self.exit_condition(c)
        return out.index_select(1, self.out_of)

    @torch.no_grad()
    def sweep(
        self,
        n: int,
        choose: Callable[[int, Tensor], Tensor],
        c: Float[Tensor, "n condition"] | None = None,
    ) -> Float[Tensor, "n inputs"]:
        """Generate the features one after another, computing every hidden unit once.

        Equal to ``features`` dense passes at the cost of about half of one.

        Args:
            n: Rows.
            choose: ``choose(d, outputs)`` with ``outputs`` (n, outputs of feature d)
                returns the inputs of feature ``d``, shape (n, inputs of feature d).
            c: The condition of each row.

        Returns:
            The inputs of all features, in the features' own order. No gradients.
        """
        blocks = [block for block in self.blocks if isinstance(block, _Block)]
        reference = next(self.parameters())
        x = reference.new_empty(n, self._inputs_end[-1])
        entered = reference.new_zeros(n, self.width) if self.entry_condition is None else self.entry_condition(c)
        inners = [None if block.condition is None else block.condition(c) for block in blocks]
        leaving = None if self.exit_condition is None else self.exit_condition(c)
        acts = [reference.new_empty(n, self.width) for _ in range(2 * len(blocks) + 1)]
        for rank, feature in enumerate(self.order):
            new, seen = slice(self._seen[rank], self._seen[rank + 1]), self._seen[rank + 1]
            if new.stop > new.start and self.exit is not None:
                h = entered[:, new]
                if self.entry is not None:
                    h = h + self.entry.part(x[:, : self._inputs_end[rank]], new)
                for k, block in enumerate(blocks):
                    acts[2 * k][:, new] = block.activation(h)
                    inner, shift = block.inner.part(acts[2 * k][:, :seen], new), inners[k]
                    acts[2 * k + 1][:, new] = block.activation(inner if shift is None else inner + shift[:, new])
                    h = h + block.outer.part(acts[2 * k + 1][:, :seen], new)
                acts[-1][:, new] = self.activation(h)
            rows = slice(self._outputs_end[rank], self._outputs_end[rank + 1])
            if self.exit is None:
                assert self.constant is not None
                out = self.constant[rows].expand(n, -1)
            else:
                out = self.exit.part(acts[-1][:, :seen], rows)
            if leaving is not None:
                out = out + leaving[:, rows]
            x[:, self._inputs_end[rank] : self._inputs_end[rank + 1]] = choose(feature, out)
        return x.index_select(1, torch.argsort(self.into))


def _sizes(per_feature: int | Sequence[int], features: int) -> list[int]:
    sizes = [per_feature] * features if isinstance(per_feature, int) else list(per_feature)
    assert len(sizes) == features, "one size per feature"
    return sizes


def _places(sizes: Sequence[int], order: Sequence[int]) -> Int64[Tensor, " total"]:
    """Where the elements of each feature lie, listed in the given order of features."""
    starts = [0, *accumulate(sizes)]
    return torch.cat([torch.arange(starts[d], starts[d + 1]) for d in order])
