"""Möbius transformations of the circle, several of them averaged."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.circular import Circular, wrap
from headwater.bijections.roots import increasing_inverse

__all__ = ["Moebius", "moebius"]

_MOST = 0.98


def moebius(
    theta: Float[Tensor, "*shape"],
    p: Float[Tensor, "*shape centres"],
    q: Float[Tensor, "*shape centres"],
    weights: Float[Tensor, "*shape centres"],
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    r"""``(f(θ), log f'(θ))`` of the weighted mean of Möbius transformations with centres ``ω_k = (p_k, q_k)``.

    .. math:: f(θ) = θ + 2 \sum_k ρ_k \arctan\frac{p_k \sin θ - q_k \cos θ}{1 - p_k \cos θ - q_k \sin θ}, \qquad
              f'(θ) = \sum_k ρ_k \frac{1 - |ω_k|^2}{|e^{iθ} - ω_k|^2}

    Each summand is the turn that ``z -> (1 - |ω|²) / |z - ω|² (z - ω) - ω``, followed by a rotation, gives to
    ``z = e^{iθ}``. ``f`` is increasing and ``f(θ + 2π) = f(θ) + 2π``.

    Args:
        theta: Angles, any reals.
        p: First coordinates of the centres, inside the unit circle.
        q: Their second coordinates.
        weights: ``ρ``, positive with sum one.
    """
    s, c = torch.sin(theta)[..., None], torch.cos(theta)[..., None]
    turns = 2 * torch.atan((p * s - q * c) / (1 - p * c - q * s))
    slopes = (1 - p.square() - q.square()) / ((c - p).square() + (s - q).square())
    return theta + (weights * turns).sum(dim=-1), torch.log((weights * slopes).sum(dim=-1))


class Moebius(Circular):
    """The mean of ``K`` Möbius transformations, see :func:`moebius`: smooth, with a peak or trough per centre.

    The inverse is found by Newton's method.

    Normalizing Flows on Tori and Spheres (Rezende, Papamakarios, Racanière et al., 2020),
    https://arxiv.org/abs/2002.02428, section 2.1.1.

    Args:
        centres: ``K``, at least two.

    Parameters per element: ``K`` pairs that become centres of length below 0.98, ``K`` log-weights.
    """

    def __init__(self, centres: int = 8) -> None:
        super().__init__()
        assert centres >= 2
        self.centres = centres
        self.size = 3 * centres

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        y, ladj = moebius(x, *self._natural(x, parameters))
        return wrap(y), ladj

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        natural = self._natural(y, parameters)
        x, ladj = increasing_inverse(lambda at: moebius(at, *natural), y, y - math.pi, y + math.pi)
        return wrap(x), ladj

    def _natural(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        p, q, logits = torch.split(parameters.to(x.dtype), self.centres, dim=-1)
        shrink = _MOST / torch.sqrt(1 + p.square() + q.square())
        return shrink * p, shrink * q, torch.softmax(logits, dim=-1)

    def extra_repr(self) -> str:
        return f"centres={self.centres}"
