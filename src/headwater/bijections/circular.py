"""Bijections of the circle: angles in ``[0, 2 pi)``, the same slope at both ends, so that there is no seam."""

from __future__ import annotations

import math
from abc import ABC

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.rational_quadratic import rational_quadratic, rational_quadratic_inverse
from headwater.bijections.univariate import Univariate

__all__ = ["TURN", "Circular", "CircularSpline", "wrap"]

TURN = 2 * math.pi


def wrap(angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The same angle in ``[0, 2 pi)``.

    >>> round(wrap(torch.tensor(-1.0)).item(), 4)
    5.2832
    """
    inside = torch.remainder(angle, TURN)
    return torch.where(inside >= TURN, torch.zeros_like(inside), inside)  # a tiny negative one rounds up to 2 pi


class Circular(Univariate, ABC):
    """A map that turns once as its argument does: ``f(θ + 2π) = f(θ) + 2π``, with values in ``[0, 2π)``."""


class CircularSpline(Circular):
    """``f(θ) = spline((θ + φ) mod 2π)`` with a rational-quadratic spline whose end slopes are equal.

    The phase ``φ`` turns the circle before the spline, so that no angle is special: neither its value
    nor its slope jumps anywhere. The formulas are those of :mod:`headwater.bijections.rational_quadratic`.

    Normalizing Flows on Tori and Spheres (Rezende, Papamakarios, Racanière et al., 2020),
    https://arxiv.org/abs/2002.02428, section 2.1.3.

    Args:
        bins: Number of bins ``K``.

    Parameters per element: ``K`` log-widths, ``K`` log-heights, ``K`` log-slopes, the phase.
    """

    def __init__(self, bins: int = 8) -> None:
        super().__init__()
        assert bins >= 2
        self.bins = bins
        self.size = 3 * bins + 1

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        widths, heights, slopes, phase = self._split(x, parameters)
        y, ladj = rational_quadratic(wrap(x + phase) - math.pi, widths, heights, slopes, math.pi)
        return wrap(y + math.pi), ladj

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        widths, heights, slopes, phase = self._split(y, parameters)
        x, ladj = rational_quadratic_inverse(wrap(y) - math.pi, widths, heights, slopes, math.pi)
        return wrap(x + math.pi - phase), ladj

    def _split(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        parts = torch.split(parameters.to(x.dtype), [self.bins, self.bins, self.bins, 1], dim=-1)
        return parts[0], parts[1], parts[2], parts[3][..., 0]

    def extra_repr(self) -> str:
        return f"bins={self.bins}"
