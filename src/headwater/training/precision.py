"""Lower precision inside the forward pass; weights, gradients and losses keep theirs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["autocast"]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 inside matrix products and convolutions, where asked for."""
    if precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()
