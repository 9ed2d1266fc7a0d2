"""One-dimensional Gaussian mixtures for many elements at once, by expectation-maximization in plain tensors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Mixtures", "expectation_maximization", "log_density", "quantile_start"]

LEAST_SCALE = 1e-3


class Mixtures(NamedTuple):
    """``p_d(x) = sum_k w_dk N(x; mu_dk, s_dk^2)`` for each element ``d``."""

    log_weight: Float[Tensor, "elements components"]
    mean: Float[Tensor, "elements components"]
    scale: Float[Tensor, "elements components"]


def log_density(x: Float[Tensor, "batch elements"], m: Mixtures) -> Float[Tensor, "batch elements"]:
    """``log p_d(x_d)`` of each element."""
    return torch.logsumexp(_joint(x, m), dim=-1)


def _joint(x: Float[Tensor, "batch elements"], m: Mixtures) -> Float[Tensor, "batch elements components"]:
    z = (x[..., None] - m.mean) / m.scale
    return m.log_weight - 0.5 * z * z - torch.log(m.scale) - 0.5 * math.log(2 * math.pi)


def quantile_start(x: Float[Tensor, "rows elements"], components: int) -> Mixtures:
    """Equal weights, means at the middle of equal shares of the rows, scales of their spacing."""
    ranks = (torch.arange(components, dtype=x.dtype) + 0.5) / components
    mean = torch.quantile(x, ranks, dim=0).T.contiguous()
    spread = x.std(dim=0, correction=0)[:, None]
    scale = (spread * (1.5 / components)).clamp(min=LEAST_SCALE).expand_as(mean)
    return Mixtures(torch.full_like(mean, -math.log(components)), mean, scale.contiguous())


def expectation_maximization(
    x: Float[Tensor, "rows elements"], start: Mixtures, *, steps: int = 60, strength: float
) -> Mixtures:
    """Maximum a posteriori: ``strength`` pseudo-rows that look like ``start`` are added to the rows.

    With few rows the result stays near ``start`` (shrinkage of a class towards all
    classes); with many it is the maximum-likelihood mixture. Scales are at least 1e-3.

    Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster, Laird & Rubin, 1977),
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x
    """
    prior = strength * start.log_weight.exp()
    prior_square = start.scale**2 + start.mean**2
    m = start
    for _ in range(steps):
        responsibility = torch.softmax(_joint(x, m), dim=-1)
        count = responsibility.sum(dim=0) + prior + 1e-10
        mean = (torch.einsum("nd,ndk->dk", x, responsibility) + prior * start.mean) / count
        square = (torch.einsum("nd,ndk->dk", x * x, responsibility) + prior * prior_square) / count
        scale = (square - mean * mean).clamp(min=LEAST_SCALE**2).sqrt()
        m = Mixtures(torch.log(count / (x.shape[0] + strength)), mean, scale)
    return m
