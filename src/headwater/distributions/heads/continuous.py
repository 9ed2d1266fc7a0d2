"""Heads of continuous elements: Gaussian mixtures of x, of log x, and of the logit of x."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.heads.gaussian import (
    gaussian_log_prob,
    gaussian_mixture_log_prob,
    gaussian_mixture_sample,
    smooth_clamp,
)
from headwater.distributions.heads.head import ALL, Head
from headwater.events import Segment
from headwater.rng import Rng

__all__ = ["IntervalHead", "PositiveHead", "RealHead", "soft_clip"]

_LOG_SCALE_BOUND = 7.0
_CLIP = 3.0


def soft_clip(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``c asinh(x / c)``: the identity near zero, a logarithm far out, so that outliers stay apart but small."""
    return _CLIP * torch.asinh(x / _CLIP)


class _GaussianMixture(Head):
    """The mixture on the whole line that the three heads share; one component has no weight to learn."""

    def __init__(self, elements: Sequence[Segment], mixtures: int) -> None:
        super().__init__()
        self.mixtures = mixtures
        self.size = 3 * mixtures if mixtures > 1 else 2
        self.feature_size = 1
        spread = torch.special.ndtri((torch.arange(mixtures, dtype=torch.float64) + 0.5) / mixtures)
        self.register_buffer("spread", spread.to(torch.get_default_dtype()), persistent=False)
        self.spread: Tensor

    def natural(self, params: Float[Tensor, "batch k p"]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, means that start at the quantiles of a standard normal, bounded log-scales."""
        if self.mixtures == 1:
            means, log_scales = params[..., :1], params[..., 1:]
            logits = torch.zeros_like(means)
        else:
            logits, means, log_scales = self.split(params, self.mixtures)
            means = means + self.spread
            log_scales = log_scales - 0.5 * math.log(self.mixtures)
        return logits, means, smooth_clamp(log_scales, _LOG_SCALE_BOUND)

    def line_log_prob(self, params: Float[Tensor, "batch k p"], y: Float[Tensor, "batch k"]) -> Tensor:
        """``log p(y)`` on the line."""
        return gaussian_mixture_log_prob(y, *self.natural(params))

    def line_sample(self, params: Float[Tensor, "batch k p"], rng: Rng, temperature: float) -> Tensor:
        """A draw on the line."""
        return gaussian_mixture_sample(*self.natural(params), rng, temperature=temperature)

    def line_mode(self, params: Float[Tensor, "batch k p"]) -> Tensor:
        """Of the component means the one with the greatest density."""
        logits, means, log_scales = self.natural(params)
        each = gaussian_log_prob(means[..., None], means[..., None, :], log_scales[..., None, :])
        density = torch.logsumexp(torch.log_softmax(logits, -1)[..., None, :] + each, dim=-1)
        return means.gather(-1, density.argmax(-1, keepdim=True))[..., 0]

    def line_mean(self, params: Float[Tensor, "batch k p"]) -> Tensor:
        """``sum_k pi_k m_k``."""
        logits, means, _ = self.natural(params)
        return (torch.softmax(logits, -1) * means).sum(-1)


@final
class RealHead(_GaussianMixture):
    """``x ~ sum_k pi_k N(m_k, s_k^2)`` with ``exp(-7) < s_k < exp(7)``; events are standardized."""

    def log_prob(self, params: Tensor, x: Tensor, at: slice = ALL) -> Tensor:
        return self.line_log_prob(params, x)

    def sample(self, params: Tensor, rng: Rng, temperature: float, at: slice = ALL) -> Tensor:
        return self.line_sample(params, rng, temperature)

    def mode(self, params: Tensor, at: slice = ALL) -> Tensor:
        return self.line_mode(params)

    def mean(self, params: Tensor, at: slice = ALL) -> Tensor:
        return self.line_mean(params)

    def features(self, x: Tensor, at: slice = ALL) -> Tensor:
        return soft_clip(x)[..., None]


@final
class PositiveHead(_GaussianMixture):
    """Log-normal mixture: ``log p(x) = log p_line(log x) - log x``.

    Mode and mean are those of ``log x``, carried over.
    """

    def log_prob(self, params: Tensor, x: Tensor, at: slice = ALL) -> Tensor:
        y = self._log(x)
        return self.line_log_prob(params, y) - y

    def sample(self, params: Tensor, rng: Rng, temperature: float, at: slice = ALL) -> Tensor:
        return self._exp(self.line_sample(params, rng, temperature))

    def mode(self, params: Tensor, at: slice = ALL) -> Tensor:
        return self._exp(self.line_mode(params))

    def mean(self, params: Tensor, at: slice = ALL) -> Tensor:
        return self._exp(self.line_mean(params))

    def features(self, x: Tensor, at: slice = ALL) -> Tensor:
        return soft_clip(self._log(x))[..., None]

    @staticmethod
    def _log(x: Tensor) -> Tensor:
        return torch.log(x.clamp_min(torch.finfo(x.dtype).tiny))

    @staticmethod
    def _exp(y: Tensor) -> Tensor:
        """Kept within the dtype's positive numbers, the support, whatever the parameters."""
        largest = math.log(torch.finfo(y.dtype).max) - 2
        return torch.exp(y.clamp(-largest, largest))


@final
class IntervalHead(_GaussianMixture):
    """Logit-normal mixture on (low, high).

    With ``u = (x - low) / (high - low)`` and ``y = logit u``:
    ``log p(x) = log p_line(y) - log u - log(1 - u) - log(high - low)``.
    """

    def __init__(self, elements: Sequence[Segment], mixtures: int) -> None:
        super().__init__(elements, mixtures)
        self.constant("low", elements, "low")
        self.constant("high", elements, "high")
        self.low: Tensor
        self.high: Tensor

    def log_prob(self, params: Tensor, x: Tensor, at: slice = ALL) -> Tensor:
        u = self._unit(x, at)
        slope = torch.log(u) + torch.log1p(-u) + torch.log(self.high[at] - self.low[at])
        return self.line_log_prob(params, torch.logit(u)) - slope

    def sample(self, params: Tensor, rng: Rng, temperature: float, at: slice = ALL) -> Tensor:
        return self._from_line(self.line_sample(params, rng, temperature), at)

    def mode(self, params: Tensor, at: slice = ALL) -> Tensor:
        return self._from_line(self.line_mode(params), at)

    def mean(self, params: Tensor, at: slice = ALL) -> Tensor:
        return self._from_line(self.line_mean(params), at)

    def features(self, x: Tensor, at: slice = ALL) -> Tensor:
        return (2 * self._unit(x, at) - 1)[..., None]

    def _unit(self, x: Tensor, at: slice) -> Tensor:
        """``u``, kept off the closed ends, where the density of the logit has no value."""
        eps = torch.finfo(x.dtype).eps
        width = (self.high[at] - self.low[at]).clamp_min(torch.finfo(x.dtype).tiny)
        return ((x - self.low[at]) / width).clamp(eps, 1 - eps)

    def _from_line(self, y: Tensor, at: slice) -> Tensor:
        low, high = self.low[at], self.high[at]
        return torch.minimum(torch.maximum(low + (high - low) * torch.sigmoid(y), low), high)
