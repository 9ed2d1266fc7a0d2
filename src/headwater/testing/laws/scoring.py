"""How laws score."""

from __future__ import annotations

import torch
from torch import Tensor

from headwater.models.base import Density, GenerativeModel
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["ROUND_OFF", "log_prob"]

ROUND_OFF = 1e-6


def log_prob(model: GenerativeModel, x: Tensor, context: Tensor | None, rng: Rng) -> Score:
    """The score of events, without gradients."""
    assert isinstance(model, Density)
    with torch.no_grad():
        return model.log_prob(x, context=context, rng=rng)
