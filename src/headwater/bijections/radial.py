"""Radial flow: events move towards a centre or away from it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.parameters import ContextParameters

__all__ = ["Radial"]

_LEAST = 1e-2
_ZERO = math.log(math.e - 1)  # softplus of it is one: no movement where alpha is one


class Radial(Bijection):
    r"""``z = x + β (x - x_0) / (α + r)`` with ``r = |x - x_0|``, ``α > 0`` and ``β > -α``.

    .. math:: \log|\det| = (D - 1) \log\Big(1 + \frac{β}{α + r}\Big) + \log\Big(1 + \frac{α β}{(α + r)^2}\Big)

    The inverse is in closed form: with ``R = |z - x_0|`` and ``p = α + β - R``,
    ``r`` is the positive root of ``r^2 + p r - α R``.

    Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015), https://arxiv.org/abs/1505.05770,
    section 4.1 and appendix A.2.

    Args:
        features: Length of the vector ``D``.
        context: Length of the context vector, which shifts ``x_0``, ``α`` and ``β``; 0 for none.
    """

    def __init__(self, features: int, *, context: int = 0) -> None:
        super().__init__()
        self.features = features
        start = torch.cat([0.1 * torch.randn(features), torch.zeros(1), torch.tensor([_ZERO])])
        self.parameters_of = ContextParameters(start, context=context)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        centre, alpha, beta = self._split(x, context)
        away = x - centre
        r = _norm(away)
        stretch = beta / (alpha + r)
        return x + stretch[:, None] * away, self._ladj(alpha, beta, r)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        centre, alpha, beta = self._split(z, context)
        away = z - centre
        far = _norm(away)
        p = alpha + beta - far
        root = torch.sqrt(p.square() + 4 * alpha * far)
        larger = 0.5 * (p.abs() + root)
        r = torch.where(p > 0, alpha * far / larger, larger)  # the form in which nothing cancels
        return centre + away * ((alpha + r) / (alpha + beta + r))[:, None], -self._ladj(alpha, beta, r)

    def _ladj(self, alpha: Tensor, beta: Tensor, r: Tensor) -> Tensor:
        across = torch.log1p(beta / (alpha + r))
        return (self.features - 1) * across + torch.log1p(alpha * beta / (alpha + r).square())

    def _split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        centre, log_alpha, raw = torch.split(self.parameters_of(len(x), context), [self.features, 1, 1], dim=1)
        alpha = torch.exp(log_alpha[:, 0] / (1 + log_alpha[:, 0].abs() / 5))
        least = alpha * (_LEAST + (1 - _LEAST) * torch.nn.functional.softplus(raw[:, 0]))
        return centre, alpha, least - alpha

    def extra_repr(self) -> str:
        return f"{self.features}"


def _norm(x: Tensor) -> Tensor:
    return torch.sqrt(x.square().sum(dim=1) + torch.finfo(x.dtype).tiny)
