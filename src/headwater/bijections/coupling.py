"""Coupling: one part of the vector stays and decides how the other part moves."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.estimated import Noisy
from headwater.bijections.univariate import Univariate
from headwater.networks.columns import reorder
from headwater.networks.mlp import MLP
from headwater.rng import Rng

__all__ = ["Coupling"]

_START = 0.1


class Coupling(Bijection, Noisy):
    """``z_A = x_A`` and ``z_B = g(x_B; θ(x_A, c))``, element by element.

    Inverse: ``x_A = z_A``, ``x_B = g^-1(z_B; θ(z_A, c))``. Log-determinants: the sums
    over ``B`` of the log-derivatives. One pass of the network ``θ`` in both directions,
    which predicts the parameters of the moved part only.

    NICE: Non-linear Independent Components Estimation (Dinh, Krueger & Bengio, 2014),
    https://arxiv.org/abs/1410.8516; splines as ``g``: Neural Spline Flows (Durkan et al., 2019).

    Args:
        univariate: ``g``.
        features: Length of the vector, at least two.
        moved: ``B``; at least one element must stay.
        context: Length of the context vector; 0 for none.
        width: Hidden width of ``θ``.
        blocks: Residual blocks of ``θ``, or plain layers after its first.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
        residual: Residual blocks in ``θ``, or plain layers.
        dropout: Share of the units of each block of ``θ`` that is dropped in training.
    """

    order: Int64[Tensor, " features"]
    back: Int64[Tensor, " features"]

    def __init__(
        self,
        univariate: Univariate,
        features: int,
        moved: Sequence[int],
        *,
        context: int = 0,
        width: int = 128,
        blocks: int = 2,
        activation: str = "silu",
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        kept = sorted(set(range(features)) - set(moved))
        assert kept, "a coupling must keep an element"
        assert moved, "a coupling must move an element"
        self.univariate = univariate
        self.context = context
        self.kept, self.moved = len(kept), len(moved)
        self.register_buffer("order", torch.tensor([*kept, *moved]), persistent=False)
        self.register_buffer("back", torch.argsort(self.order), persistent=False)
        self.conditioner = MLP(
            len(kept),
            len(moved) * univariate.size,
            width=width,
            blocks=blocks,
            condition=context,
            activation=activation,
            residual=residual,
            dropout=dropout,
        )
        with torch.no_grad():
            self.conditioner.exit.weight.mul_(_START)
            self.conditioner.exit.bias.copy_(univariate.start().repeat_interleave(len(moved)))

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
        stay, move = self._apart(x)
        moved, ladj = self.univariate(move.t(), self._theta(stay, context, rng))
        return self._together(stay.t(), moved), ladj.sum(dim=0)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        stay, moved = self._apart(z)
        move, ladj = self.univariate.inverse(moved.t(), self._theta(stay, context))
        return self._together(stay.t(), move), ladj.sum(dim=0)

    def _apart(self, x: Tensor) -> tuple[Tensor, ...]:
        return reorder(x, self.order, self.back).tensor_split([self.kept], dim=1)

    def _together(self, stay: Float[Tensor, "kept batch"], move: Float[Tensor, "moved batch"]) -> Tensor:
        return reorder(torch.cat([stay, move]).t(), self.back, self.order)

    def _theta(self, stay: Tensor, context: Tensor | None, rng: Rng | None = None) -> Tensor:
        """Parameters of each moved element and event; in memory parameter after parameter, with the batch last."""
        out = self.conditioner.columns(stay, context if self.context else None, rng)
        return out.view(self.univariate.size, self.moved, -1).movedim(0, -1)

    def extra_repr(self) -> str:
        return f"{self.kept} kept, {self.moved} moved"
