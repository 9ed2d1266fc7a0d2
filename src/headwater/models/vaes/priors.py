"""Priors of the code: a Gaussian with the divergence in closed form, and a learned mixture of Gaussians."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.heads import gaussian_log_prob, gaussian_sample, smooth_clamp
from headwater.models.vaes.bounds import gaussian_kl
from headwater.rng import Rng

__all__ = ["GaussianPrior", "MixturePrior", "Prior"]

_LOG_SCALE_BOUND = 5.0


class Prior(nn.Module, ABC):
    """``p(z | c)``.

    Attributes:
        groups: How many parts :meth:`kl` is reported in.
    """

    groups: int

    @abstractmethod
    def log_prob(
        self, z: Float[Tensor, "batch latent"], c: Float[Tensor, "batch context"] | None
    ) -> Float[Tensor, " batch"]:
        """``log p(z | c)`` in nats."""

    @abstractmethod
    def sample(
        self, n: int, c: Float[Tensor, "n context"] | None, rng: Rng, *, temperature: float = 1.0
    ) -> Float[Tensor, "n latent"]:
        """Codes; ``temperature`` below one draws nearer to the centres."""

    @abstractmethod
    def kl(
        self,
        mean: Float[Tensor, "batch latent"],
        log_scale: Float[Tensor, "batch latent"],
        z: Float[Tensor, "batch latent"],
        c: Float[Tensor, "batch context"] | None,
    ) -> Float[Tensor, "batch groups"]:
        """``KL(N(mean, scale^2) || p(. | c))`` in nats; ``z`` is a draw, for priors without a closed form."""


@final
class GaussianPrior(Prior):
    """``N(0, 1)``, or with a context ``N(W c, exp(2 V c))``, starting at ``N(0, 1)``. ``groups``: the dimensions."""

    def __init__(self, latent: int, context: int) -> None:
        super().__init__()
        self.latent = self.groups = latent
        self.shift = nn.Linear(context, 2 * latent, bias=False) if context else None
        if self.shift is not None:
            nn.init.zeros_(self.shift.weight)
        self.register_buffer("zero", torch.zeros(1, latent), persistent=False)
        self.zero: Tensor

    def _natural(self, c: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        if self.shift is None or c is None:
            return self.zero.expand(n, -1), self.zero.expand(n, -1)
        mean, log_scale = self.shift(c).chunk(2, dim=-1)
        return mean, smooth_clamp(log_scale, _LOG_SCALE_BOUND)

    def log_prob(self, z: Tensor, c: Tensor | None) -> Tensor:
        return gaussian_log_prob(z, *self._natural(c, len(z))).sum(-1)

    def sample(self, n: int, c: Tensor | None, rng: Rng, *, temperature: float = 1.0) -> Tensor:
        return gaussian_sample(*self._natural(c, n), rng, temperature=temperature)

    def kl(self, mean: Tensor, log_scale: Tensor, z: Tensor, c: Tensor | None) -> Tensor:
        return gaussian_kl(mean, log_scale, *self._natural(c, len(z)))


@final
class MixturePrior(Prior):
    """``sum_k pi_k N(m_k, s_k^2)`` with learned components; a context chooses among them. ``groups``: one.

    The divergence is the one-draw estimate ``log q(z) - log p(z)``. The mixture is the
    baseline of VAE with a VampPrior (Tomczak & Welling, 2018), https://arxiv.org/abs/1705.07120.
    """

    groups = 1

    def __init__(self, latent: int, context: int, components: int) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.randn(components, latent))
        self.log_scales = nn.Parameter(torch.zeros(components, latent))
        self.logits = nn.Parameter(torch.zeros(components))
        self.choose = nn.Linear(context, components, bias=False) if context else None
        if self.choose is not None:
            nn.init.zeros_(self.choose.weight)

    def _logits(self, c: Tensor | None) -> Tensor:
        return self.logits[None] if self.choose is None or c is None else self.logits + self.choose(c)

    def log_prob(self, z: Tensor, c: Tensor | None) -> Tensor:
        scales = smooth_clamp(self.log_scales, _LOG_SCALE_BOUND)
        # (z - m)^2 / s^2 expanded into products of matrices: no (batch, components, latent) tensor is made
        precision = torch.exp(-2 * scales)
        squares = z.square() @ precision.T - 2 * z @ (self.means * precision).T
        constant = gaussian_log_prob(torch.zeros_like(self.means), self.means, scales).sum(-1)
        return torch.logsumexp(torch.log_softmax(self._logits(c), -1) + constant - 0.5 * squares, dim=-1)

    def sample(self, n: int, c: Tensor | None, rng: Rng, *, temperature: float = 1.0) -> Tensor:
        chosen = rng.categorical("component", self._logits(c).expand(n, -1))
        scales = smooth_clamp(self.log_scales, _LOG_SCALE_BOUND)
        return gaussian_sample(self.means[chosen], scales[chosen], rng, temperature=temperature)

    def kl(self, mean: Tensor, log_scale: Tensor, z: Tensor, c: Tensor | None) -> Tensor:
        return (gaussian_log_prob(z, mean, log_scale).sum(-1) - self.log_prob(z, c))[:, None]
