"""Bernstein polynomials with increasing coefficients."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.box import shares
from headwater.bijections.roots import increasing_inverse
from headwater.bijections.univariate import Univariate

__all__ = ["Bernstein"]


class Bernstein(Univariate):
    r"""A Bernstein polynomial of degree ``M`` that carries ``[-bound, bound]`` onto itself; the identity outside.

    .. math:: y = \sum_{k=0}^M β_k \binom{M}{k} u^k (1 - u)^{M-k}, \quad u = \frac{x + B}{2 B}, \qquad
              \frac{dy}{dx} = \frac{M}{2 B} \sum_{k=0}^{M-1} (β_{k+1} - β_k) \binom{M-1}{k} u^k (1 - u)^{M-1-k}

    with ``-B = β_0 < ... < β_M = B``, so that the slope is a sum of positive terms; an even division is the
    identity. The inverse is found by Newton's method.

    Short-Term Density Forecasting of Low-Voltage Load using Bernstein-Polynomial Normalizing Flows (Arpogaus et al.,
    2022), https://arxiv.org/abs/2204.13939; Ramasinghe et al., 2021, https://arxiv.org/abs/2102.03509.

    Args:
        degree: ``M``.
        bound: ``B``.

    Parameters per element: ``M`` unnormalized log-increments.
    """

    def __init__(self, degree: int = 16, bound: float = 4.0) -> None:
        super().__init__()
        assert 1 <= degree <= 64
        self.degree, self.bound, self.size = degree, bound, degree
        for name, m in (("whole", degree), ("less", degree - 1)):
            row = torch.tensor([float(math.comb(m, k)) for k in range(m + 1)], dtype=torch.float64)
            self.register_buffer(name, row, persistent=False)
        self.whole: Tensor
        self.less: Tensor

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        inside = x.abs() < self.bound
        y, ladj = self._value(x.clamp(-self.bound, self.bound), shares(parameters.to(x.dtype)))
        return torch.where(inside, y, x), torch.where(inside, ladj, torch.zeros_like(ladj))

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        inside = y.abs() < self.bound
        steps, end = shares(parameters.to(y.dtype)), torch.full_like(y, self.bound)
        x, ladj = increasing_inverse(lambda x: self._value(x, steps), y.clamp(-self.bound, self.bound), -end, end)
        return torch.where(inside, x, y), torch.where(inside, ladj, torch.zeros_like(ladj))

    def _value(self, x: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        u, rest = (x + self.bound) / (2 * self.bound), (self.bound - x) / (2 * self.bound)
        reached = torch.cat([torch.zeros_like(steps[..., :1]), torch.cumsum(steps, dim=-1)], dim=-1)
        share = (reached * _basis(u, rest, self.whole)).sum(dim=-1)
        slope = self.degree * (steps * _basis(u, rest, self.less)).sum(dim=-1)
        return self.bound * (2 * share - 1), torch.log(slope)

    def extra_repr(self) -> str:
        return f"degree={self.degree}, bound={self.bound:g}"


def _basis(u: Tensor, rest: Tensor, binomials: Tensor) -> Tensor:
    m = len(binomials) - 1
    one = torch.ones_like(u)
    rising = torch.stack([one, *([u] * m)], dim=-1).cumprod(dim=-1)
    falling = torch.stack([one, *([rest] * m)], dim=-1).cumprod(dim=-1).flip(-1)
    return binomials.to(u.dtype) * rising * falling
