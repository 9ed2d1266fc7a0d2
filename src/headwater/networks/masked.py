"""Autoregressive multilayer perceptron: the outputs of a feature see only the features before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.networks.columns import reorder
from headwater.networks.masked_layers import Block, Layer, Plain
from headwater.networks.masked_linear import MaskedLinear
from headwater.networks.mlp import ACTIVATIONS, columns, dropout
from headwater.rng import Rng

__all__ = ["MaskedMLP"]


class MaskedMLP(nn.Module):
    """MLP in which the outputs of feature ``d`` depend on the features before ``d`` and the condition.

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
        blocks: Number of two-layer residual blocks, or of plain layers after the first.
        condition: Length of a conditioning vector that every output sees; 0 for none.
        inputs_per_feature: Inputs of each feature (one-hot categories have several).
        order: The features in the order in which they are generated; None: as they stand.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
        scale: Multiplies the initial weights of the last layer.
        residual: Residual blocks, or plain layers.
        dropout: Share of the units of every block that is dropped where :meth:`stacked` is given ``rng``.

    Inputs and outputs stand in the features' own order, whatever ``order`` is.

    >>> net = MaskedMLP(3, 2, width=16, blocks=1)
    >>> net(torch.zeros(5, 3)).shape
    torch.Size([5, 6])
    """

    into: Int64[Tensor, " inputs"]
    out_of: Int64[Tensor, " inputs"]
    row_of: Int64[Tensor, " outputs"]
    output_of: Int64[Tensor, " outputs"]

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
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.features, self.width, self.dropout = features, width, dropout
        self.order = tuple(range(features)) if order is None else tuple(order)
        assert sorted(self.order) == list(range(features)), "order must be a permutation of the features"
        ins, outs = _sizes(inputs_per_feature, features), _sizes(outputs_per_feature, features)
        self.register_buffer("into", _places(ins, self.order), persistent=False)
        self.register_buffer("out_of", torch.argsort(self.into), persistent=False)
        self._inputs_end = [0, *accumulate(ins[d] for d in self.order)]
        rank = torch.argsort(torch.tensor(self.order))
        serves, self._rows = _rows(outs)
        self.register_buffer("row_of", torch.argsort(serves, stable=True), persistent=False)
        self.register_buffer("output_of", torch.argsort(self.row_of), persistent=False)
        self.equal = outs[0] if len(set(outs)) == 1 else None
        least = 0 if condition or features == 1 else 1
        degrees = least + torch.arange(width) * (features - least) // width
        self._seen = [0, *(int((degrees <= r).sum()) for r in range(features))]

        in_rank = torch.arange(features).repeat_interleave(torch.tensor([ins[d] for d in self.order]))
        self.entry = MaskedLinear(degrees[:, None] > in_rank[None, :]) if features > 1 else None
        self.entry_condition = nn.Linear(condition, width, bias=False) if condition else None
        constant = features == 1 and not condition
        kind = Block if residual else Plain
        self.blocks = nn.ModuleList(kind(degrees, condition, activation) for _ in range(0 if constant else blocks))
        self.activation = ACTIVATIONS[activation]()
        self.exit = MaskedLinear(rank[serves][:, None] >= degrees[None, :], scale=scale) if not constant else None
        self.exit_condition = nn.Linear(condition, sum(outs), bias=False) if condition else None
        self.constant = nn.Parameter(torch.zeros(sum(outs))) if constant else None
        if self.exit_condition is not None:
            nn.init.uniform_(self.exit_condition.weight, -scale / math.sqrt(condition), scale / math.sqrt(condition))

    @torch.no_grad()
    def begin_at(self, outputs: Float[Tensor, " each"]) -> None:
        """Add these to the biases of every feature's outputs, all features having equally many."""
        assert self.equal == len(outputs), "the features have different numbers of outputs"
        bias = self.constant if self.exit is None else self.exit.bias
        assert bias is not None
        bias.add_(outputs.repeat_interleave(self.features))

    def forward(
        self, x: Float[Tensor, "batch inputs"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs"]:
        return reorder(self._columns(x, c).t(), self.row_of, self.output_of)

    def stacked(
        self,
        x: Float[Tensor, "batch inputs"],
        c: Float[Tensor, "batch condition"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, "each features batch"]:
        """The outputs, where all features have equally many, without moving them: one run of memory per output.

        With dropout, given ``rng``.
        """
        assert self.equal is not None, "the features have different numbers of outputs"
        return self._columns(x, c, rng).view(self.equal, self.features, -1)

    def _columns(self, x: Tensor, c: Tensor | None, rng: Rng | None = None) -> Tensor:
        if self.exit is None:
            assert self.constant is not None
            return self.constant[:, None].expand(-1, x.shape[0])
        across = None if c is None else c.t()
        h = self._enter(x, across)
        for number, block in enumerate(self.blocks):
            h = block(h, across, dropout(rng, number, self.dropout, self.width, h.dtype))
        out = self.exit.columns(self.activation(h))
        return out if self.exit_condition is None else out + columns(self.exit_condition, across)

    def _enter(self, x: Tensor, across: Tensor | None) -> Tensor:
        h = x.new_zeros(self.width, x.shape[0])
        if self.entry is not None:
            h = self.entry.columns(reorder(x, self.into, self.out_of).t())
        return h if self.entry_condition is None else h + columns(self.entry_condition, across)

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
        layers = [layer for layer in self.blocks if isinstance(layer, Layer)]
        reference = next(self.parameters())
        x = reference.new_empty(self._inputs_end[-1], n)
        entered = reference.new_zeros(self.width, 1) if self.entry_condition is None else self.entry_condition(c).t()
        shifts = [None if layer.condition is None else layer.condition(c).t() for layer in layers]
        leaving = None if self.exit_condition is None else self.exit_condition(c).t()
        stores = [[reference.new_empty(self.width, n) for _ in range(layer.stores)] for layer in layers]
        last = reference.new_empty(self.width, n)
        for rank, feature in enumerate(self.order):
            new, seen = slice(self._seen[rank], self._seen[rank + 1]), self._seen[rank + 1]
            if new.stop > new.start and self.exit is not None:
                h = entered[new].expand(-1, n)
                if self.entry is not None:
                    h = h + self.entry.part(x[: self._inputs_end[rank]], new)
                for layer, store, shift in zip(layers, stores, shifts, strict=True):
                    h = layer.advance(h, store, new, shift)
                last[new] = self.activation(h)
            rows = self._rows[feature]
            if self.exit is None:
                assert self.constant is not None
                out = self.constant[rows, None].expand(-1, n)
            else:
                out = self.exit.part(last[:seen], rows)
            if leaving is not None:
                out = out + leaving[rows]
            x[self._inputs_end[rank] : self._inputs_end[rank + 1]] = choose(feature, out.t()).t()
        return x.t().index_select(1, self.out_of)


def _sizes(per_feature: int | Sequence[int], features: int) -> list[int]:
    sizes = [per_feature] * features if isinstance(per_feature, int) else list(per_feature)
    assert len(sizes) == features, "one size per feature"
    return sizes


def _places(sizes: Sequence[int], order: Sequence[int]) -> Int64[Tensor, " total"]:
    """Where the elements of each feature lie, listed in the given order of features."""
    starts = [0, *accumulate(sizes)]
    return torch.cat([torch.arange(starts[d], starts[d + 1]) for d in order])


def _rows(sizes: Sequence[int]) -> tuple[Int64[Tensor, " total"], list[slice]]:
    """The feature that each row of the last layer serves, and the rows of each feature.

    Where all features have equally many, the rows go output after output, so that each stands in one
    run of memory over features and batch; else feature after feature.
    """
    features = torch.arange(len(sizes))
    if len(set(sizes)) == 1:
        return features.repeat(sizes[0]), [slice(d, None, len(sizes)) for d in range(len(sizes))]
    ends = [0, *accumulate(sizes)]
    return features.repeat_interleave(torch.tensor(sizes)), [slice(*pair) for pair in pairwise(ends)]
