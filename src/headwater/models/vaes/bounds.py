"""The bounds of a variational autoencoder as pure functions."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["free_bits", "gaussian_kl", "importance_weighted_bound"]


def gaussian_kl(
    mean: Float[Tensor, "*shape"],
    log_scale: Float[Tensor, "*shape"],
    prior_mean: Float[Tensor, "*#shape"],
    prior_log_scale: Float[Tensor, "*#shape"],
) -> Float[Tensor, "*shape"]:
    """``KL(N(m, s^2) || N(m0, s0^2)) = log(s0 / s) + (s^2 + (m - m0)^2) / (2 s0^2) - 1/2``, nats per dimension.

    Auto-Encoding Variational Bayes (Kingma & Welling, 2014), appendix B, https://arxiv.org/abs/1312.6114.

    >>> one = torch.ones(1)
    >>> gaussian_kl(one, 0 * one, 0 * one, 0 * one)
    tensor([0.5000])
    """
    difference = log_scale - prior_log_scale
    centred = (mean - prior_mean) * torch.exp(-prior_log_scale)
    return 0.5 * (torch.expm1(2 * difference) + centred.square()) - difference


def free_bits(kl: Float[Tensor, "batch groups"], floor: float) -> Float[Tensor, ""]:
    """``sum_j max(floor, mean_batch kl_j)``: no reward for pressing a group's information below ``floor`` nats.

    Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
    equation 15, https://arxiv.org/abs/1606.04934.

    >>> free_bits(torch.tensor([[0.1, 2.0], [0.1, 4.0]]), 0.25)
    tensor(3.2500)
    """
    return kl.mean(dim=0).clamp_min(floor).sum()


def importance_weighted_bound(
    log_weights: Float[Tensor, "batch draws"],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """``log (1/K) sum_k w_k`` and its standard error, ``w_k = p(x, z_k) / q(z_k | x)``, in nats.

    A lower bound of ``log p(x)`` in expectation that rises with K. The standard error is
    the delta method's: that of the mean of ``w`` divided by that mean; zero for one draw,
    which says nothing of its error.

    Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), equation 8 and
    theorem 1, https://arxiv.org/abs/1509.00519.

    >>> importance_weighted_bound(torch.tensor([[-1.0, -1.0]]))
    (tensor([-1.]), tensor([0.]))
    """
    draws = log_weights.shape[1]
    bound = torch.logsumexp(log_weights, dim=1) - math.log(draws)
    if draws == 1:
        return bound, torch.zeros_like(bound)
    relative = torch.exp(log_weights - bound[:, None])  # mean one, at most `draws`: cannot overflow
    return bound, relative.std(dim=1) / math.sqrt(draws)
