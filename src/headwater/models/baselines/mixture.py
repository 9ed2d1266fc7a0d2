"""Gaussian mixtures in many dimensions as pure functions of weights, means and triangular factors of precisions."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Covariance", "component_slots", "covariance_kind", "factor", "log_components", "unwhiten"]

Covariance = Literal["full", "tied", "diagonal"]

_BUDGET = 64 * 2**20 // 4  # numbers that the covariances of one model may hold


def covariance_kind(elements: int, classes: int) -> Covariance:
    """The richest covariances that fit in 64 MiB: one per component, one for all, or variances alone."""
    if classes * elements**2 <= _BUDGET:
        return "full"
    return "tied" if elements**2 <= _BUDGET else "diagonal"


def component_slots(kind: Covariance, elements: int, classes: int, components: int) -> int:
    """How many components all classes together have room for; at least one each."""
    if kind != "full":
        return classes * components
    return classes * max(1, min(components, _BUDGET // (classes * elements**2)))


def factor(covariance: Float[Tensor, "*slots elements elements"]) -> Float[Tensor, "*slots elements elements"]:
    """Lower-triangular ``L^-1`` with ``L L^T = covariance``, so that ``z = L^-1 (x - mu)`` is white."""
    chol = torch.linalg.cholesky(covariance)
    eye = torch.eye(chol.shape[-1], dtype=chol.dtype).expand_as(chol)
    return torch.linalg.solve_triangular(chol, eye, upper=False)


def log_components(
    x: Float[Tensor, "batch elements"],
    mean: Float[Tensor, "slots elements"],
    whiten: Float[Tensor, "*whiten"],
) -> Float[Tensor, "batch slots"]:
    """``log N(x; mu_k, Sigma_k)``; ``whiten`` is ``L_k^-1``: (slots, d, d), tied (1, d, d), diagonal (slots, d)."""
    constant = -0.5 * x.shape[1] * math.log(2 * math.pi)
    if whiten.ndim == 2:
        square = ((x[:, None] - mean) * whiten).square().sum(-1)
        return constant - 0.5 * square + torch.log(whiten).sum(-1)
    log_det = torch.log(torch.diagonal(whiten, dim1=-2, dim2=-1)).sum(-1)
    squares = []
    for k in range(mean.shape[0]):
        z = (x - mean[k]) @ whiten[k if whiten.shape[0] > 1 else 0].T
        squares.append(z.square().sum(-1))
    return constant - 0.5 * torch.stack(squares, dim=1) + log_det


def unwhiten(
    noise: Float[Tensor, "n elements"], slot: Tensor, whiten: Float[Tensor, "*whiten"]
) -> Float[Tensor, "n elements"]:
    """``L_k z``: the noise of each row in the covariance of its component."""
    if whiten.ndim == 2:
        return noise / whiten[slot]
    out = torch.zeros_like(noise)
    for k in range(whiten.shape[0]):
        solved = torch.linalg.solve_triangular(whiten[k], noise.T, upper=False).T
        out = solved if whiten.shape[0] == 1 else torch.where((slot == k)[:, None], solved, out)
    return out
