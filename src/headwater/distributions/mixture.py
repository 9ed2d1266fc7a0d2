"""A learned mixture of Gaussians: a base with several modes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.base import Base
from headwater.distributions.heads.gaussian import gaussian_log_prob, smooth_clamp
from headwater.rng import Rng

__all__ = ["GaussianMixtureBase"]

_LOG_SCALE_BOUND = 7.0


class GaussianMixtureBase(Base):
    """``p(z) = sum_k π_k N(z; m_k, diag(s_k²))`` with learned weights, means and scales, ``exp(-7) < s < exp(7)``.

    A flow cannot tear one mode into several; a base that has several need not be torn. Sampling at
    temperature ``T`` draws ``m_k + T s_k n``. Draws do not carry the gradient of the weights.

    Args:
        features: Number of elements.
        components: ``K``, at least two.
    """

    reparameterized = False

    def __init__(self, features: int, *, components: int = 8) -> None:
        super().__init__()
        assert components >= 2, "a mixture needs two components"
        self.logits = nn.Parameter(torch.zeros(components))
        self.means = nn.Parameter(torch.randn(components, features))
        self.log_scales = nn.Parameter(torch.zeros(components, features))

    def log_prob(
        self,
        z: Float[Tensor, "batch features"],
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
    ) -> Float[Tensor, " batch"]:
        each = gaussian_log_prob(z[:, None], self.means[None], smooth_clamp(self.log_scales, _LOG_SCALE_BOUND)[None])
        return torch.logsumexp(torch.log_softmax(self.logits, dim=0) + each.sum(dim=2), dim=1)

    def sample(
        self,
        rng: Rng,
        context: Float[Tensor, "batch context"] | None = None,
        *,
        temperature: float = 1.0,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "batch features"]:
        logits, means, log_scales = (value.to(dtype) for value in (self.logits, self.means, self.log_scales))
        k = rng.categorical("base component", logits.expand(rng.n, -1))
        noise = rng.normal("base", means.shape[1], dtype=dtype)
        return means[k] + temperature * torch.exp(smooth_clamp(log_scales, _LOG_SCALE_BOUND))[k] * noise

    def extra_repr(self) -> str:
        return f"{self.means.shape[1]}, components={len(self.logits)}"
