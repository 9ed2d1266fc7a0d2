"""Increasing polynomials: the integral of a sum of squares."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.quadrature import IntegralFromZero
from headwater.bijections.univariate import Searched

__all__ = ["SumOfSquares"]

_LEAST_SLOPE = 1e-2
_START = 0.5


class SumOfSquares(Searched):
    r"""An increasing polynomial that carries ``[-B, B]`` onto itself, the identity outside; then a shift.

    .. math:: y = c - B + 2 B \frac{\int_{-B}^x g}{\int_{-B}^B g}, \qquad
              g(u) = ε + (1 - ε) \frac1K \sum_k \Big(1 + \sum_j a_{kj} (u / B)^j\Big)^2

    Any increasing polynomial's slope is such a sum. The integrals are exact; the inverse is found by Newton's method.
    ``ε`` = 0.01 keeps the slope from vanishing. In the paper the polynomials act on the whole line, where several of
    them one after the other grow beyond any float.

    Sum-of-Squares Polynomial Flow (Jaini, Selby & Yu, 2019), https://arxiv.org/abs/1905.02325.

    Args:
        squares: ``K``.
        degree: Of the polynomials that are squared; y has degree ``2 degree + 1``.
        bound: ``B``.

    Parameters per element: ``K (degree + 1)`` coefficients and ``c``.
    """

    def __init__(self, squares: int = 3, degree: int = 2, bound: float = 4.0) -> None:
        super().__init__()
        self.squares, self.degree, self.bound = squares, degree, bound
        self.size = squares * (degree + 1) + 1
        self.integral = IntegralFromZero(degree + 1)

    def start(self) -> Float[Tensor, " size"]:
        turn = 2 * math.pi * torch.arange(self.squares) / self.squares
        start = torch.zeros(self.squares, self.degree + 1)
        start[:, 1] = _START * torch.sin(turn)
        if self.degree > 1:
            start[:, 2] = _START * torch.cos(turn)
        return torch.cat([start.flatten(), torch.zeros(1)])

    def value(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        shape = (*parameters.shape[:-1], self.squares, self.degree + 1)
        one = torch.eye(1, self.degree + 1, dtype=x.dtype, device=x.device)[0]
        coefficients = parameters[..., :-1].reshape(shape) + one
        inside = x.clamp(-self.bound, self.bound)

        def from_left(width: Tensor) -> Tensor:  # the integral over [-B, -B + width]
            return self.integral(lambda u: _slope(u / self.bound - 1, coefficients), width)

        scale = 2 * self.bound / from_left(torch.full_like(x, 2 * self.bound))
        y = scale * from_left(inside + self.bound) - self.bound + (x - inside)
        ladj = torch.log(scale * _slope(inside[..., None] / self.bound, coefficients)[..., 0])
        return y + parameters[..., -1], torch.where(x == inside, ladj, torch.zeros_like(ladj))

    def extra_repr(self) -> str:
        return f"squares={self.squares}, degree={self.degree}, bound={self.bound:g}"


def _slope(u: Float[Tensor, "*shape points"], coefficients: Float[Tensor, "*shape squares terms"]) -> Tensor:
    value = torch.zeros_like(u[..., None, :])
    for term in reversed(range(coefficients.shape[-1])):
        value = value * u[..., None, :] + coefficients[..., term, None]
    return _LEAST_SLOPE + (1 - _LEAST_SLOPE) * value.square().mean(dim=-2)
