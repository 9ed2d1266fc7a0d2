"""The terms of a variational autoencoder's bound as pure functions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["free_bits", "gaussian_kl"]


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
