"""Numbers that a bijection needs per event: free ones, shifted by a network of the context."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.mlp import MLP

__all__ = ["ContextParameters"]

_START = 0.1


class ContextParameters(nn.Module):
    """``θ(c) = free + N(c)``; without a context the free numbers alone.

    Args:
        start: The free numbers to begin with.
        context: Length of the context vector; 0 for none.
        width: Hidden width of ``N``.
        blocks: Its residual blocks.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
    """

    def __init__(
        self,
        start: Float[Tensor, " size"],
        *,
        context: int = 0,
        width: int = 64,
        blocks: int = 1,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.free = nn.Parameter(start.clone())
        self.network = MLP(context, len(start), width=width, blocks=blocks, activation=activation) if context else None
        if self.network is not None:
            with torch.no_grad():
                self.network.exit.weight.mul_(_START)
                self.network.exit.bias.zero_()

    def forward(self, n: int, context: Float[Tensor, "n context"] | None) -> Float[Tensor, "n size"]:
        """The numbers of ``n`` events."""
        free = self.free.expand(n, -1)
        return free if self.network is None else free + torch.as_tensor(self.network(context))
