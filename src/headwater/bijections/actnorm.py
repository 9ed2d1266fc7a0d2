"""Affine map per element that starts by standardizing the data."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection, DataDependent

__all__ = ["ActNorm"]

_LEAST_STD = 1e-3


class ActNorm(Bijection, DataDependent):
    """``z = (x - m) exp(s)`` per element; ``x = z exp(-s) + m``; log-determinants ``sum s`` and ``-sum s``.

    ``m`` and ``s`` are parameters. :meth:`fit` sets them to the mean and minus the log
    of the standard deviation (at least 1e-3) of a batch; before that it is the identity.

    Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    https://arxiv.org/abs/1807.03039, section 3.1.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(features))
        self.log_scale = nn.Parameter(torch.zeros(features))

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "batch features"]) -> None:
        self.mean.copy_(x.mean(dim=0))
        self.log_scale.copy_(-x.std(dim=0, unbiased=False).clamp(min=_LEAST_STD).log())

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return (x - self.mean) * self.log_scale.exp(), self.log_scale.sum().expand(x.shape[0])

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return z * (-self.log_scale).exp() + self.mean, -self.log_scale.sum().expand(z.shape[0])

    def extra_repr(self) -> str:
        return f"{len(self.mean)}"
