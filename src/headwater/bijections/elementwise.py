"""Each element mapped on its own, by free parameters or by what the context says."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.parameters import ContextParameters
from headwater.bijections.univariate import Univariate

__all__ = ["Elementwise"]

_SPREAD = 0.01


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
        self.features = features
        start = univariate.start().repeat(features)
        start = start + _SPREAD * torch.randn(len(start))  # parts of a map that are alike would stay alike
        self.theta = ContextParameters(start, context=context, width=width, blocks=blocks, activation=activation)

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
        out: Tensor = self.theta(x.shape[0], context)
        return out.view(x.shape[0], self.features, self.univariate.size)
