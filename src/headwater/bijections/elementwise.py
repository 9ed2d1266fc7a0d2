"""Each element mapped on its own, by free parameters or by what the context says."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection
from headwater.bijections.univariate import Univariate
from headwater.networks.mlp import ResidualMLP

__all__ = ["Elementwise"]

_START = 0.1


class Elementwise(Bijection):
    """``z_i = g(x_i; θ_i(c))``; log-determinants are the sums of the elements' log-derivatives.

    Without a context the ``θ`` are parameters. Starts close to the identity.

    Args:
        univariate: ``g``.
        features: Number of elements.
        context: Length of the context vector; 0 for none.
        width: Hidden width of the network of the context.
        blocks: Its residual blocks.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
    """

    def __init__(
        self,
        univariate: Univariate,
        features: int,
        *,
        context: int = 0,
        width: int = 64,
        blocks: int = 1,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.univariate = univariate
        self.free = nn.Parameter(torch.zeros(features, univariate.size))
        self.conditioner = (
            ResidualMLP(context, features * univariate.size, width=width, blocks=blocks, activation=activation)
            if context
            else None
        )
        if self.conditioner is not None:
            with torch.no_grad():
                self.conditioner.exit.weight.mul_(_START)
                self.conditioner.exit.bias.zero_()

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        z, ladj = self.univariate(x, self._theta(x, context))
        return z, ladj.sum(dim=1)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        x, ladj = self.univariate.inverse(z, self._theta(z, context))
        return x, ladj.sum(dim=1)

    def _theta(self, x: Tensor, context: Tensor | None) -> Tensor:
        free = self.free.expand(x.shape[0], -1, -1)
        return free if self.conditioner is None else free + self.conditioner(context).view_as(free)
