"""Where the logistics of a mixture stand before training."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["side_by_side"]

_REACH = 0.9


def side_by_side(count: int, scale: float) -> tuple[Float[Tensor, " count"], float]:
    """Means and log-scale of ``count`` logistics of a ``scale`` below 1 that together are about one of scale 1.

    Alike components would learn alike; these differ from the start. The narrower, the sooner separate modes are found,
    and the steeper the map outside.

    >>> means, log_scale = side_by_side(3, 0.4)
    >>> means, round(math.exp(log_scale), 2)
    (tensor([-1.4485,  0.0000,  1.4485]), 0.4)
    """
    if count == 1:
        return torch.zeros(1), 0.0
    return _REACH * torch.logit((torch.arange(count) + 0.5) / count), math.log(scale)
