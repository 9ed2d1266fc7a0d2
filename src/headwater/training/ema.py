"""The exponential moving average of the weights, which is what evaluation and samples use."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from headwater.models.base import GenerativeModel

__all__ = ["Ema", "ema_decay"]


def ema_decay(step: int, decay: float) -> float:
    """``min(decay, (1 + t) / (10 + t))``: short memory first, so that the start is forgotten.

    >>> ema_decay(0, 0.999), ema_decay(10**6, 0.999)
    (0.1, 0.999)
    """
    return min(decay, (1 + step) / (10 + step))


class Ema:
    """``average <- d average + (1 - d) weights`` for all parameters; buffers are copied.

    Polyak averaging: Acceleration of Stochastic Approximation by Averaging (Polyak & Juditsky,
    1992), https://doi.org/10.1137/0330046.

    Args:
        model: The model in training.
        decay: ``d`` after its warm-up; 0 makes ``average`` the model itself.
    """

    def __init__(self, model: GenerativeModel, decay: float) -> None:
        self._source = model
        self._decay = decay
        self._copy = copy.deepcopy(model).requires_grad_(False).eval() if decay else model
        self._averages: list[Tensor] = list(self._copy.parameters())
        self._weights: list[Tensor] = list(model.parameters())

    @property
    def active(self) -> bool:
        """Whether there is an average beside the weights."""
        return self._copy is not self._source

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after step ``t``; nothing synchronizes."""
        if self.active and self._averages:
            torch._foreach_lerp_(self._averages, self._weights, 1.0 - ema_decay(step, self._decay))

    @torch.no_grad()
    def average(self) -> GenerativeModel:
        """The averaged model, its buffers brought up to date (they change rarely: only copied here)."""
        if self.active:
            source = dict(self._source.named_buffers())
            for name, buffer in self._copy.named_buffers():
                buffer.copy_(source[name])
        return self._copy
