"""Classifier-free guidance: push a conditional velocity away from the unconditional one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.solvers import Velocity

__all__ = ["guided"]


def guided(
    velocity: Callable[[Tensor, Tensor, Tensor | None], Tensor],
    context: Float[Tensor, "batch size"] | None,
    weight: float,
) -> Velocity:
    """``v(t, x) = v(t, x, 0) + w (v(t, x, c) - v(t, x, 0))``; both parts in one doubled batch.

    ``w = 1`` is the conditional field, ``w = 0`` the unconditional one, each at the price of one; ``w > 1``
    makes samples more typical of their context and less various.

    Reference: Classifier-Free Diffusion Guidance (Ho & Salimans, 2022), https://arxiv.org/abs/2207.12598, eq. 6,
    whose w is ours minus one.
    """
    if context is None or weight in (0.0, 1.0):
        only = torch.zeros_like(context) if context is not None and weight == 0 else context
        return lambda t, x: velocity(t, x, only)
    both = torch.cat([context, torch.zeros_like(context)])

    def doubled(t: Tensor, x: Tensor) -> Tensor:
        conditional, free = velocity(torch.cat([t, t]), torch.cat([x, x]), both).chunk(2)
        return free + weight * (conditional - free)

    return doubled
