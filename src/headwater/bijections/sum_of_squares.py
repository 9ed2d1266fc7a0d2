"""Increasing polynomials: the integral of a sum of squares."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.quadrature import IntegralFromZero
from headwater.bijections.univariate import Searched

__all__ = ["SumOfSquares"]

_LEAST_SLOPE = 1e-2


class SumOfSquares(Searched):
    r"""``y = c + ∫_0^x g(u) du`` with ``g(u) = ε + (1 - ε) \frac1K \sum_k (1 + a_{k0} + a_{k1} u + ... )^2``.

    Any increasing polynomial's slope is such a sum. ``log dy/dx = log g(x)``; the integral is exact. The
    inverse is found by Newton's method. ``ε`` = 0.01 keeps the slope from vanishing.

    Polynomials grow fast outside the data: put an :class:`~headwater.bijections.actnorm.ActNorm` before it.

    Sum-of-Squares Polynomial Flow (Jaini, Selby & Yu, 2019), https://arxiv.org/abs/1905.02325.

    Args:
        squares: ``K``.
        degree: Of the polynomials that are squared; y has degree ``2 degree + 1``.

    Parameters per element: ``K (degree + 1)`` coefficients and ``c``.
    """

    def __init__(self, squares: int = 3, degree: int = 2) -> None:
        super().__init__()
        self.squares, self.degree = squares, degree
        self.size = squares * (degree + 1) + 1
        self.integral = IntegralFromZero(degree + 1)

    def value(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        shape = (*parameters.shape[:-1], self.squares, self.degree + 1)
        one = torch.eye(1, self.degree + 1, dtype=x.dtype, device=x.device)[0]
        coefficients = parameters[..., :-1].reshape(shape) + one
        y = self.integral(lambda u: _slope(u, coefficients), x) + parameters[..., -1]
        return y, torch.log(_slope(x[..., None], coefficients)[..., 0])

    def extra_repr(self) -> str:
        return f"squares={self.squares}, degree={self.degree}"


def _slope(u: Float[Tensor, "*shape points"], coefficients: Float[Tensor, "*shape squares terms"]) -> Tensor:
    value = torch.zeros_like(u[..., None, :])
    for term in reversed(range(coefficients.shape[-1])):
        value = value * u[..., None, :] + coefficients[..., term, None]
    return _LEAST_SLOPE + (1 - _LEAST_SLOPE) * value.square().mean(dim=-2)
