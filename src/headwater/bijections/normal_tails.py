"""The normal distribution function and its inverse in logarithms, finite and exact however far out."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["Tails", "logistic_tails", "ndtri_exp", "normal_tails"]

_LOG_2 = math.log(2.0)
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_NEWTON_STEPS = 4
_FAR = -20.0  # a logarithm of probability below which the start is the asymptote


class Tails(NamedTuple):
    """Logarithms of a distribution function and its hazards: ``F``, ``1 - F``, ``F' / F`` and ``F' / (1 - F)``."""

    below: Float[Tensor, "*shape"]
    above: Float[Tensor, "*shape"]
    hazard_below: Float[Tensor, "*shape"]
    hazard_above: Float[Tensor, "*shape"]


def _tails(u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    log_scaled = torch.log(torch.special.erfcx(u.abs() / math.sqrt(2)))  # of 2 exp(u²/2) Φ(-|u|), always representable
    half_square, left = 0.5 * u.square(), u < 0
    tail = log_scaled - _LOG_2 - half_square
    rest = torch.log1p(-torch.exp(tail))
    tail_hazard = _LOG_2 - _HALF_LOG_2PI - log_scaled
    rest_hazard = -half_square - _HALF_LOG_2PI - rest
    return (
        torch.where(left, tail, rest),
        torch.where(left, rest, tail),
        torch.where(left, tail_hazard, rest_hazard),
        torch.where(left, rest_hazard, tail_hazard),
    )


class _NormalTails(torch.autograd.Function):
    """With analytic derivatives: those of the formulas above lose zero's side, and cancel."""

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        below, above, hazard_below, hazard_above = _tails(u)
        ctx.save_for_backward(u, hazard_below, hazard_above)
        return below, above, hazard_below, hazard_above

    @staticmethod
    def backward(ctx: Any, *d: Tensor) -> Tensor:
        u, hazard_below, hazard_above = ctx.saved_tensors
        h, k = torch.exp(hazard_below), torch.exp(hazard_above)
        return d[0] * h - d[1] * k - d[2] * (u + h) - d[3] * (u - k)


def normal_tails(u: Float[Tensor, "*shape"]) -> Tails:
    r"""``\log Φ(u)``, ``\log Φ(-u)``, ``\log h(u)`` and ``\log h(-u)`` with ``h = φ / Φ``.

    ``d\log Φ(u)/du = h(u)`` and ``d\log h(u)/du = -(u + h(u))``.

    >>> tails = normal_tails(torch.tensor(-1000.0))
    >>> round(tails.below.item(), 1), abs(round(tails.above.item(), 1)), round(tails.hazard_below.item(), 4)
    (-500007.8, 0.0, 6.9078)
    """
    return Tails(*_NormalTails.apply(u))  # type: ignore[no-untyped-call]


def logistic_tails(u: Float[Tensor, "*shape"]) -> Tails:
    """The same for the logistic distribution, where ``F' / F = 1 - F``."""
    below, above = logsigmoid(u), logsigmoid(-u)
    return Tails(below, above, above, below)


def ndtri_exp(log_p: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    r"""``y = Φ^{-1}(e^{ℓ})`` for ``ℓ \le \log(1/2)``, hence ``y \le 0``, where ``e^ℓ`` may well be zero.

    Newton's method on ``\log Φ(y) = ℓ``, which is concave, from the quantile or its asymptote
    ``-\sqrt{-2ℓ - \log(-4πℓ)}``; the last step is recorded, which gives ``dy/dℓ = 1 / h(y)``.

    >>> ndtri_exp(torch.tensor([-0.6931472, -500007.8125])).round(decimals=3).tolist()
    [0.0, -1000.0]
    """
    with torch.no_grad():
        far = log_p < _FAR
        near = torch.special.ndtri(torch.exp(torch.where(far, -1.0, log_p)))
        log_odds = torch.where(far, -2 * log_p, 40.0)
        y = torch.where(far, -torch.sqrt(log_odds - torch.log(2 * math.pi * log_odds)), near)
        for _ in range(_NEWTON_STEPS - 1):
            y = _step(y, log_p)
    return _step(y, log_p)


def _step(y: Tensor, log_p: Tensor) -> Tensor:
    with torch.no_grad():
        log_cdf, _, log_hazard, _ = _tails(y)
        width = torch.exp(-log_hazard)
    return y - (log_cdf - log_p) * width
