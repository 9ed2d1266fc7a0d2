"""Heads of discrete elements: counts and pixels, categories, coins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.heads.discrete import (
    bernoulli_log_prob,
    bernoulli_sample,
    categorical_log_prob,
    categorical_sample,
)
from headwater.distributions.heads.gaussian import smooth_clamp
from headwater.distributions.heads.head import ALL, Head
from headwater.distributions.heads.logistic import (
    discretized_logistic_mixture_log_prob,
    discretized_logistic_mixture_sample,
)
from headwater.events import Segment
from headwater.rng import Rng

__all__ = ["BinaryHead", "CategoricalHead", "LogisticHead"]

_LOG_SCALE_BOUND = 7.0


def _within(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(x, low), high)


@final
class LogisticHead(Head):
    """Discretized logistic mixture; network numbers are in units where ``low .. high`` is ``[-1, 1]``.

    Scales are bounded by ``exp(+-7)`` of that unit, wider for long ranges so that
    one value alone can always be singled out. Elements of different range share a head.
    """

    def __init__(self, elements: Sequence[Segment], mixtures: int) -> None:
        super().__init__()
        self.mixtures = mixtures
        self.size = 3 * mixtures
        self.feature_size = 1
        self.constant("low", elements, "low")
        self.constant("high", elements, "high")
        self.low: Tensor
        self.high: Tensor

    def natural(self, params: Float[Tensor, "batch k p"], at: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, means and log-scales in the data's units; the means start evenly spread."""
        logits, means, log_scales = self.split(params, self.mixtures)
        half = self._half(at)[:, None]
        start = (2 * torch.arange(self.mixtures, dtype=params.dtype, device=params.device) + 1) / self.mixtures - 1
        bound = torch.clamp_min(torch.log(half) + 3, _LOG_SCALE_BOUND)
        log_scales = smooth_clamp(log_scales - math.log(self.mixtures), bound)
        middle = (self.low[at] + self._half(at))[:, None]
        return logits, middle + half * (means + start), torch.log(half) + log_scales

    def log_prob(self, params: Tensor, x: Tensor, at: slice = ALL) -> Tensor:
        return discretized_logistic_mixture_log_prob(x, *self.natural(params, at), self.low[at], self.high[at])

    def sample(self, params: Tensor, rng: Rng, temperature: float, at: slice = ALL) -> Tensor:
        natural = self.natural(params, at)
        return discretized_logistic_mixture_sample(*natural, self.low[at], self.high[at], rng, temperature=temperature)

    def mode(self, params: Tensor, at: slice = ALL) -> Tensor:
        """The most likely of the components' nearest whole numbers and the two ends, which hold the tails."""
        logits, means, log_scales = self.natural(params, at)
        low, high = self.low[at][:, None], self.high[at][:, None]
        ends = torch.cat([low, high], dim=-1).expand(*means.shape[:-1], 2)
        candidates = torch.cat([_within(torch.round(means), low, high), ends], dim=-1)
        wide = (*candidates.shape, self.mixtures)
        likely = discretized_logistic_mixture_log_prob(
            candidates,
            logits[..., None, :].expand(wide),
            means[..., None, :].expand(wide),
            log_scales[..., None, :].expand(wide),
            low,
            high,
        )
        return candidates.gather(-1, likely.argmax(-1, keepdim=True))[..., 0]

    def mean(self, params: Tensor, at: slice = ALL) -> Tensor:
        """``sum_k pi_k m_k`` with each ``m_k`` kept in range."""
        logits, means, _ = self.natural(params, at)
        low, high = self.low[at], self.high[at]
        inside = _within(means, low[:, None], high[:, None])
        return _within((torch.softmax(logits, -1) * inside).sum(-1), low, high)

    def features(self, x: Tensor, at: slice = ALL) -> Tensor:
        half = self._half(at)
        return ((x - self.low[at] - half) / half)[..., None]

    def _half(self, at: slice) -> Tensor:
        """Half the range, at least one half: a constant element still has a unit."""
        return (0.5 * (self.high[at] - self.low[at])).clamp_min(0.5)


@final
class CategoricalHead(Head):
    """``p(x) = softmax(logits)[x - low]``: categories (``low = 0``), or whole numbers with few values.

    Args:
        elements: Segments with the same number of values.
        ordered: Whether values are numbers: one scaled feature instead of one-hot, a numeric mean.
    """

    def __init__(self, elements: Sequence[Segment], *, ordered: bool) -> None:
        super().__init__()
        cardinality = elements[0].cardinality
        assert cardinality is not None
        self.size = cardinality
        self.ordered = ordered
        self.feature_size = 1 if ordered else cardinality
        zero = [element if ordered else element.model_copy(update={"low": 0.0}) for element in elements]
        self.constant("low", zero, "low")
        self.low: Tensor

    def log_prob(self, params: Tensor, x: Tensor, at: slice = ALL) -> Tensor:
        return categorical_log_prob(x - self.low[at], params)

    def sample(self, params: Tensor, rng: Rng, temperature: float, at: slice = ALL) -> Tensor:
        return self.low[at] + categorical_sample(params, rng, temperature=temperature)

    def mode(self, params: Tensor, at: slice = ALL) -> Tensor:
        return self.low[at] + params.argmax(-1).to(params.dtype)

    def mean(self, params: Tensor, at: slice = ALL) -> Tensor:
        """The expected number; of categories, which have none, the mode."""
        if not self.ordered:
            return self.mode(params, at)
        codes = torch.arange(self.size, dtype=params.dtype, device=params.device)
        return self.low[at] + (torch.softmax(params, -1) * codes).sum(-1).clamp(0, self.size - 1)

    def features(self, x: Tensor, at: slice = ALL) -> Tensor:
        code = x - self.low[at]
        if self.ordered:
            return (2 * code / max(self.size - 1, 1) - 1)[..., None]
        return (code[..., None] == torch.arange(self.size, dtype=x.dtype, device=x.device)).to(x.dtype)


@final
class BinaryHead(Head):
    """``p(1) = sigma(l)``."""

    def __init__(self, elements: Sequence[Segment]) -> None:
        super().__init__()
        self.size = 1
        self.feature_size = 1

    def log_prob(self, params: Tensor, x: Tensor, at: slice = ALL) -> Tensor:
        return bernoulli_log_prob(x, params[..., 0])

    def sample(self, params: Tensor, rng: Rng, temperature: float, at: slice = ALL) -> Tensor:
        return bernoulli_sample(params[..., 0], rng, temperature=temperature)

    def mode(self, params: Tensor, at: slice = ALL) -> Tensor:
        return (params[..., 0] > 0).to(params.dtype)

    def mean(self, params: Tensor, at: slice = ALL) -> Tensor:
        return torch.sigmoid(params[..., 0])

    def features(self, x: Tensor, at: slice = ALL) -> Tensor:
        return (2 * x - 1)[..., None]
