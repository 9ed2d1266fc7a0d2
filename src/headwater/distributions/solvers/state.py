"""What every solver shares: the velocity's signature, and times broadcast over events."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Shaped
from torch import Tensor

__all__ = ["Velocity", "expand"]

Velocity = Callable[[Tensor, Tensor], Tensor]
"""``velocity(t, x) -> dx/dt`` with a time per event: ``(batch,), (batch, *event) -> (batch, *event)``."""


def expand(t: Shaped[Tensor, " batch"], x: Shaped[Tensor, "batch *event"]) -> Shaped[Tensor, "batch *ones"]:
    """One number per event, shaped to broadcast over the event's own dimensions.

    >>> import torch
    >>> expand(torch.zeros(5), torch.zeros(5, 3, 8, 8)).shape
    torch.Size([5, 1, 1, 1])
    """
    return t.reshape(-1, *[1] * (x.ndim - 1))
