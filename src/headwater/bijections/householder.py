"""Orthogonal maps as products of reflections."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection

__all__ = ["Householder", "reflect"]


def reflect(x: Float[Tensor, "batch features"], normals: Float[Tensor, "count features"]) -> Tensor:
    """``x`` reflected at each normal's plane, one after another: ``x - 2 v (v·x) / |v|²``."""
    unit = normals / normals.square().sum(dim=1, keepdim=True).clamp(min=1e-12).sqrt()
    for v in unit:
        x = x - 2 * (x @ v)[:, None] * v
    return x


class Householder(Bijection):
    """``z = H_K ... H_1 x`` with reflections ``H = I - 2 v v'/|v|²``; the log-determinants are zero.

    ``K = D`` reflections reach every orthogonal matrix (of one sign of determinant). The reflections
    come in equal pairs at the start, so that the map begins as the identity, unless ``random``.

    Improving Variational Auto-Encoders using Householder Flow (Tomczak & Welling, 2016),
    https://arxiv.org/abs/1611.09630.

    Args:
        features: ``D``.
        reflections: ``K``, even; None: ``D``, rounded up to even.
        random: Begin as a random rotation instead of the identity.
    """

    def __init__(self, features: int, reflections: int | None = None, *, random: bool = False) -> None:
        super().__init__()
        count = features + features % 2 if reflections is None else reflections
        assert count % 2 == 0, "an even number of reflections, so that they can begin as the identity"
        pairs = torch.randn(count // 2, features).repeat_interleave(2, dim=0)
        self.normals = nn.Parameter(torch.randn(count, features) if random else pairs)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return reflect(x, self.normals), x.new_zeros(len(x))

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return reflect(z, self.normals.flip(0)), z.new_zeros(len(z))

    def extra_repr(self) -> str:
        return f"{self.normals.shape[1]}, reflections={len(self.normals)}"
