"""Autoregressive bijection: each element moves as the elements before it say."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.estimated import Noisy
from headwater.bijections.univariate import Univariate
from headwater.networks.masked import MaskedMLP
from headwater.rng import Rng

__all__ = ["Autoregressive"]

_START = 0.1


class Autoregressive(Bijection, Noisy):
    """``z_i = g(x_i; θ_i(x_{<i}, c))`` with ``<`` the given order.

    The Jacobian is triangular: the log-determinants are the sums of the
    log-derivatives. ``forward`` takes one pass of the masked network ``θ``. ``inverse``
    generates the elements one after another: with gradients by ``features`` dense
    passes (:meth:`inverse_dense`), without by one sweep that computes every
    hidden unit once (:meth:`inverse_sweep`), which gives the same at the cost of about one pass.

    Masked Autoregressive Flow for Density Estimation (Papamakarios, Pavlakou & Murray, 2017),
    https://arxiv.org/abs/1705.07057; splines as ``g``: Neural Spline Flows (Durkan et al., 2019).

    Args:
        univariate: ``g``.
        features: Length of the vector.
        context: Length of the context vector; 0 for none.
        width: Hidden width of ``θ``.
        blocks: Residual blocks of ``θ``, or plain layers after its first.
        order: The elements in the order in which they are generated; None: as they stand.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
        residual: Residual blocks in ``θ``, or plain layers.
        dropout: Share of the units of each block of ``θ`` that is dropped in training.
    """

    def __init__(
        self,
        univariate: Univariate,
        features: int,
        *,
        context: int = 0,
        width: int = 128,
        blocks: int = 2,
        order: Sequence[int] | None = None,
        activation: str = "silu",
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.univariate = univariate
        self.features = features
        self.conditioner = MaskedMLP(
            features,
            univariate.size,
            width=width,
            blocks=blocks,
            condition=context,
            order=order,
            activation=activation,
            scale=_START,
            residual=residual,
            dropout=dropout,
        )
        self.conditioner.begin_at(univariate.start())

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return self._forward(x, context, None)

    @property
    def wants_noise(self) -> bool:
        return self.training and self.conditioner.dropout > 0

    def surrogate(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None, rng: Rng
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return self._forward(x, context, rng)

    def _forward(self, x: Tensor, context: Tensor | None, rng: Rng | None) -> tuple[Tensor, Tensor]:
        z, ladj = self.univariate(x.t(), self._theta(x, context, rng))
        return z.t(), ladj.sum(dim=0)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return self.inverse_dense(z, context) if torch.is_grad_enabled() else self.inverse_sweep(z, context)

    def inverse_dense(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """The inverse by fixed-point passes: after pass ``k`` the first ``k`` elements are right."""
        x, ladj = torch.zeros_like(z), z
        for _ in range(self.features):
            across, ladj = self.univariate.inverse(z.t(), self._theta(x, context))
            x = across.t()
        return x, ladj.sum(dim=0)

    @torch.no_grad()
    def inverse_sweep(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """The inverse element by element from cached hidden units. No gradients."""
        total = z.new_zeros(z.shape[0])

        def choose(feature: int, parameters: Tensor) -> Tensor:
            x, ladj = self.univariate.inverse(z[:, feature], parameters)
            total.add_(ladj)
            return x[:, None]

        return self.conditioner.sweep(z.shape[0], choose, context), total

    def _theta(self, x: Tensor, context: Tensor | None, rng: Rng | None = None) -> Tensor:
        """Parameters of each feature and event; in memory parameter after parameter, with the batch last."""
        return self.conditioner.stacked(x, context, rng).movedim(0, -1)

    def extra_repr(self) -> str:
        order = self.conditioner.order
        return f"order={order}" if len(order) <= 8 else f"{len(order)} features"
