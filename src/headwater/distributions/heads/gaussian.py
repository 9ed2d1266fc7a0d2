"""Gaussians and their mixtures as pure functions, and the smooth clamp that keeps their scales sane."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.rng import Rng

__all__ = [
    "gaussian_log_prob",
    "gaussian_mixture_log_prob",
    "gaussian_mixture_sample",
    "gaussian_sample",
    "pick",
    "smooth_clamp",
]

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def smooth_clamp(s: Float[Tensor, "*shape"], bound: float | Float[Tensor, "*#shape"]) -> Float[Tensor, "*shape"]:
    """``b tanh(s / b)``: the identity near zero, never beyond ``bound``, a gradient everywhere.

    >>> smooth_clamp(torch.tensor([0.0, 1e9]), 7.0)
    tensor([0., 7.])
    """
    return bound * torch.tanh(s / bound)


def gaussian_log_prob(
    x: Float[Tensor, "*#shape"], mean: Float[Tensor, "*#shape"], log_scale: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """``log N(x; m, s^2) = -((x - m) / s)^2 / 2 - log s - log(2 pi) / 2`` with ``s = exp(log_scale)``, in nats.

    >>> round(float(gaussian_log_prob(torch.zeros(1), torch.zeros(1), torch.zeros(1))), 4)
    -0.9189
    """
    z = (x - mean) * torch.exp(-log_scale)
    return -0.5 * z.square() - log_scale - _HALF_LOG_TWO_PI


def gaussian_sample(
    mean: Float[Tensor, "rows *shape"],
    log_scale: Float[Tensor, "rows *shape"],
    rng: Rng,
    *,
    temperature: float = 1.0,
) -> Float[Tensor, "rows *shape"]:
    """``m + T s n`` with a standard normal ``n``."""
    noise = rng.normal("gaussian", *mean.shape[1:], dtype=mean.dtype)
    return mean + temperature * torch.exp(log_scale) * noise


def gaussian_mixture_log_prob(
    x: Float[Tensor, "*shape"],
    logits: Float[Tensor, "*shape mixtures"],
    means: Float[Tensor, "*shape mixtures"],
    log_scales: Float[Tensor, "*shape mixtures"],
) -> Float[Tensor, "*shape"]:
    """``log sum_k pi_k N(x; m_k, s_k^2)`` with ``pi = softmax(logits)``, in nats.

    Mixture Density Networks (Bishop, 1994), equations 22-24, https://publications.aston.ac.uk/id/eprint/373/.
    """
    each = gaussian_log_prob(x[..., None], means, log_scales)
    return torch.logsumexp(torch.log_softmax(logits, dim=-1) + each, dim=-1)


def gaussian_mixture_sample(
    logits: Float[Tensor, "rows *shape mixtures"],
    means: Float[Tensor, "rows *shape mixtures"],
    log_scales: Float[Tensor, "rows *shape mixtures"],
    rng: Rng,
    *,
    temperature: float = 1.0,
) -> Float[Tensor, "rows *shape"]:
    """A component by its weight to the power ``1 / T``, then ``m_k + T s_k n``."""
    chosen = rng.categorical("component", logits / temperature)
    return gaussian_sample(pick(means, chosen), pick(log_scales, chosen), rng, temperature=temperature)


def pick(values: Float[Tensor, "*shape mixtures"], chosen: Tensor) -> Float[Tensor, "*shape"]:
    """The value of the chosen component."""
    return values.gather(-1, chosen[..., None])[..., 0]
