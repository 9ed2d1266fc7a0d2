"""Block autoregressive network: one network of all elements that increases in each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection
from headwater.bijections.roots import bracket, increasing_inverse
from headwater.networks.columns import reorder

__all__ = ["BlockAutoregressive"]

_MOST_GATE = 0.99
_START_LENGTH, _START_REACH = 0.7, 3.0


class _BlockLinear(nn.Module):
    """``W h + b`` with blocks ``W_ij``: zero for j > i, free for j < i, positive for j = i; rows of free length."""

    free_mask: Tensor
    own_mask: Tensor

    def __init__(self, features: int, rows: int, columns: int) -> None:
        super().__init__()
        self.features, self.rows, self.columns = features, rows, columns
        block = torch.arange(features)
        i, j = block.repeat_interleave(rows)[:, None], block.repeat_interleave(columns)[None, :]
        self.register_buffer("free_mask", i > j, persistent=False)
        self.register_buffer("own_mask", i == j, persistent=False)
        self.raw = nn.Parameter(0.3 * torch.randn(features * rows, features * columns) / math.sqrt(columns))
        self.log_length = nn.Parameter(torch.zeros(features * rows, 1))
        self.bias = nn.Parameter(0.1 * torch.randn(features * rows))

    def forward(
        self, h: Float[Tensor, "batch inputs"], log_slope: Float[Tensor, "batch features columns"]
    ) -> tuple[Float[Tensor, "batch outputs"], Float[Tensor, "batch features rows"]]:
        """Outputs, and the log-derivative of each by its own feature."""
        own = torch.where(self.own_mask, self.raw, 0).exp() * self.own_mask
        weight = own + self.raw * self.free_mask
        # only the own blocks set the scale, so that strong dependence on other features costs no slope
        length = own.sum(dim=1, keepdim=True)
        scale = self.log_length.exp() / length
        blocks = self.raw.reshape(self.features, self.rows, self.features, self.columns)
        diagonal = blocks.diagonal(dim1=0, dim2=2).movedim(-1, 0)
        log_own = diagonal + scale.log().reshape(self.features, self.rows, 1)
        slopes = torch.logsumexp(log_own + log_slope[:, :, None, :], dim=-1)
        return h @ (weight * scale).T + self.bias, slopes


class BlockAutoregressive(Bijection):
    r"""``z_i = f_i(x_{<i}, x_i)``, one masked network of ``hidden`` units per element and layer.

    Weights from an element's own units are positive and tanh increases, hence the network's outputs ``n_i`` increase
    in ``x_i``; ``\log ∂n_i/∂x_i`` is carried along in logarithms. They are bounded: ``z_i = (1 - g_i) x_i + g_i n_i``
    with a learned gate ``g_i < 0.99`` reaches every point, so that the density integrates to one. The inverse solves
    for one element after another by Newton's method.

    Block Neural Autoregressive Flow (De Cao, Titov & Aziz, 2019), https://arxiv.org/abs/1904.04676.

    Args:
        features: Length of the vector.
        context: Length of the context vector, which shifts the first layer; 0 for none.
        hidden: Units per element.
        layers: Hidden layers.
        order: The elements in the order in which they depend on each other; None: as they stand.
    """

    forth: Tensor
    back: Tensor

    def __init__(
        self, features: int, *, context: int = 0, hidden: int = 8, layers: int = 2, order: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.features = features
        sizes = [1, *([hidden] * layers), 1]
        self.layers = nn.ModuleList(_BlockLinear(features, out, size) for size, out in pairwise(sizes))
        self._apart(hidden)
        self.gate = nn.Parameter(torch.zeros(features))
        self.condition = nn.Linear(context, features * hidden, bias=False) if context else None
        chosen = torch.tensor(list(range(features)) if order is None else list(order))
        self.register_buffer("forth", chosen, persistent=False)
        self.register_buffer("back", torch.argsort(chosen), persistent=False)

    @torch.no_grad()
    def _apart(self, hidden: int) -> None:
        """Units that bend at different places, and ends that reach beyond the data: alike, they would learn alike."""
        steep = math.exp(_START_LENGTH)
        places = (torch.linspace(-1, 1, hidden) if hidden > 1 else torch.zeros(1)).repeat(self.features)
        for number, layer in enumerate(self.layers[:-1]):
            assert isinstance(layer, _BlockLinear)
            layer.log_length.fill_(_START_LENGTH)
            layer.bias.copy_(-steep * (_START_REACH if number == 0 else 0.5) * places)
        last = self.layers[-1]
        assert isinstance(last, _BlockLinear)
        last.log_length.fill_(1.0)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        z, slopes = self._network(reorder(x, self.forth, self.back), context)
        return reorder(z, self.back, self.forth), slopes.sum(dim=1)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        target = reorder(z, self.forth, self.back)
        known: list[Tensor] = []
        total = z.new_zeros(len(z))
        for i in range(self.features):

            def element(value: Tensor, i: int = i) -> tuple[Tensor, Tensor]:
                rest = value.new_zeros(len(value), self.features - i - 1)
                x = torch.cat([*(part[:, None] for part in known), value[:, None], rest], dim=1)
                out, slopes = self._network(x, context)
                return out[:, i], slopes[:, i]

            x, ladj = increasing_inverse(element, target[:, i], *bracket(element, target[:, i]))
            known.append(x)
            total = total + ladj
        return reorder(torch.stack(known, dim=1), self.back, self.forth), total

    def _network(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        h, slopes = x, x.new_zeros(len(x), self.features, 1)
        for number, layer in enumerate(self.layers):
            h, slopes = layer(h, slopes)
            if number == 0 and self.condition is not None:
                h = h + self.condition(context)
            if number + 1 < len(self.layers):
                log_slope = 2 * (math.log(2) - h - nn.functional.softplus(-2 * h))  # of tanh; does not round to zero
                slopes, h = slopes + log_slope.reshape(slopes.shape), torch.tanh(h)
        gate = _MOST_GATE * torch.sigmoid(self.gate)
        return (1 - gate) * x + gate * h, torch.logaddexp(torch.log1p(-gate), gate.log() + slopes[:, :, 0])

    def extra_repr(self) -> str:
        return f"{self.features}"
