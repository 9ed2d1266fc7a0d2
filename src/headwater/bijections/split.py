"""Split: half of the channels goes on through a bijection, the other half is left behind, normalized."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection

__all__ = ["Split"]


class Split(Bijection):
    """``z = (g(a), b')`` as a vector, where ``h(x) = (a, b')`` and ``a`` is the first half of the channels.

    ``h`` moves the second half ``b`` as ``a`` says, ``b' = (b - μ(a)) / σ(a)`` where it is affine: with a standard
    normal ``b'`` this *is* the learned prior ``b ~ N(μ(a), σ(a)^2)`` of the half left behind, and since no latent is
    drawn anew or dropped, the whole is a bijection. Splits inside ``g`` make it multi-scale.

    Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    https://arxiv.org/abs/1807.03039, figure 2; Density Estimation Using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017),
    https://arxiv.org/abs/1605.08803, section 3.6.

    Args:
        bijection: ``g``, from pictures of the first half of the channels to vectors.
        prior: ``h``, a coupling of the whole picture that keeps the first half of the channels.
        shape: Channels, height, width of the whole picture; of an odd number of channels the middle one goes on.
    """

    def __init__(self, bijection: Bijection, prior: Bijection, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.bijection, self.prior = bijection, prior
        left = shape[0] // 2
        self.parts = [shape[0] - left, left]
        self.behind = (left, *shape[1:])

    def forward(
        self, x: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        h, ladj = self.prior(x, context)
        on, left = torch.split(h, self.parts, dim=1)
        z, more = self.bijection(on, context)
        return torch.cat([z, left.reshape(x.shape[0], -1)], dim=1), ladj + more

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        on = z.shape[1] - math.prod(self.behind)
        a, ladj = self.bijection.inverse(z[:, :on], context)
        left = z[:, on:].reshape(-1, *self.behind)
        x, more = self.prior.inverse(torch.cat([a, left], dim=1), context)
        return x, ladj + more
