"""Coupling and autoregressive bijections of rows whose elements live in different sets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.row import UnivariateRow
from headwater.bijections.univariate import Univariate
from headwater.networks.columns import Columns
from headwater.networks.masked import MaskedMLP
from headwater.networks.mlp import MLP

__all__ = ["MixedAutoregressive", "MixedCoupling"]

_START = 0.1


class MixedAutoregressive(Bijection):
    """``z_i = g_i(x_i; θ_i(x_{<i}, c))``: :class:`Autoregressive` with a map of its own kind for each element.

    The network sees angles as cosine and sine, so the density has no seam where an angle wraps.

    Normalizing Flows on Tori and Spheres (Rezende, Papamakarios, Racanière et al., 2020),
    https://arxiv.org/abs/2002.02428, section 2.2.

    Args:
        maps: ``g``; elements that share an object are moved together.
        context: Length of the context vector; 0 for none.
        width: Hidden width of ``θ``.
        blocks: Residual blocks of ``θ``.
        order: The elements in the order in which they are generated; None: as they stand.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
    """

    def __init__(
        self,
        maps: Sequence[Univariate],
        *,
        context: int = 0,
        width: int = 128,
        blocks: int = 2,
        order: Sequence[int] | None = None,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        self.row = UnivariateRow(maps)
        self.conditioner = MaskedMLP(
            len(maps),
            self.row.sizes,
            width=width,
            blocks=blocks,
            condition=context,
            inputs_per_feature=self.row.inputs,
            order=order,
            activation=activation,
            scale=_START,
        )

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        z, ladj = self.row(x, self.conditioner(self.row.seen(x), context))
        return z, ladj

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return self.inverse_dense(z, context) if torch.is_grad_enabled() else self.inverse_sweep(z, context)

    def inverse_dense(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """The inverse by fixed-point passes: after pass ``k`` the first ``k`` elements are right."""
        x, ladj = torch.zeros_like(z), z.new_zeros(z.shape[0])
        for _ in range(z.shape[1]):
            x, ladj = self.row.inverse(z, self.conditioner(self.row.seen(x), context))
        return x, ladj

    @torch.no_grad()
    def inverse_sweep(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """The inverse element by element from cached hidden units. No gradients."""
        x, total = torch.empty_like(z), z.new_zeros(z.shape[0])
        maps = [self.row.element(i) for i in range(z.shape[1])]

        def choose(feature: int, parameters: Tensor) -> Tensor:
            x[:, feature], ladj = maps[feature].inverse(z[:, feature], parameters)
            total.add_(ladj)
            return self.row.seen_of(feature, x[:, feature])

        self.conditioner.sweep(z.shape[0], choose, context)
        return x, total

    def extra_repr(self) -> str:
        order = self.conditioner.order
        return f"order={order}" if len(order) <= 8 else f"{len(order)} features"


class MixedCoupling(Bijection):
    """``z_A = x_A`` and ``z_i = g_i(x_i; θ_i(x_A, c))`` for ``i`` in ``B``: :class:`Coupling` with a map per element.

    Args:
        maps: ``g``, for every element of the row.
        moved: ``B``; at least one element must stay.
        context: Length of the context vector; 0 for none.
        width: Hidden width of ``θ``.
        blocks: Residual blocks of ``θ``.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
    """

    def __init__(
        self,
        maps: Sequence[Univariate],
        moved: Sequence[int],
        *,
        context: int = 0,
        width: int = 128,
        blocks: int = 2,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        kept = sorted(set(range(len(maps))) - set(moved))
        assert kept, "a coupling must keep an element"
        assert moved, "a coupling must move an element"
        self.context = context
        self.row, self.rest = UnivariateRow([maps[i] for i in moved]), UnivariateRow([maps[i] for i in kept])
        self.kept, self.moved = Columns(kept, of=len(maps)), Columns(moved, of=len(maps))
        self.restore = Columns.inverse([*kept, *moved])
        self.conditioner = MLP(
            sum(self.rest.inputs),
            sum(self.row.sizes),
            width=width,
            blocks=blocks,
            condition=context,
            activation=activation,
        )
        with torch.no_grad():
            self.conditioner.exit.weight.mul_(_START)
            self.conditioner.exit.bias.zero_()

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        stay = self.kept(x)
        move, ladj = self.row(self.moved(x), self._theta(stay, context))
        return self.restore(torch.cat([stay, move], dim=1)), ladj

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        stay = self.kept(z)
        move, ladj = self.row.inverse(self.moved(z), self._theta(stay, context))
        return self.restore(torch.cat([stay, move], dim=1)), ladj

    def _theta(self, stay: Tensor, context: Tensor | None) -> Tensor:
        out: Tensor = self.conditioner(self.rest.seen(stay), context if self.context else None)
        return out

    def extra_repr(self) -> str:
        return f"{len(self.kept)} kept, {len(self.moved)} moved"
