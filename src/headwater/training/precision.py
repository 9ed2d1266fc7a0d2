"""Lower precision inside the forward pass or inside products; weights, gradients and losses keep theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

__all__ = ["autocast", "products"]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 for the results of matrix products and convolutions, where ``bfloat16`` is asked for."""
    if precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


@contextmanager
def products(precision: str) -> Iterator[None]:
    """Where ``reduced`` is asked for, factors of float32 products are rounded, to bfloat16 on CPUs and TF32 on GPUs.

    Sums stay float32, and so does all that lies between products. Processors without such units compute as ever.
    """
    if precision != "reduced":
        yield
        return
    kinds = [
        (torch.backends.mkldnn.matmul, "bf16"),  # type: ignore[attr-defined]
        (torch.backends.mkldnn.conv, "bf16"),  # type: ignore[attr-defined]
        (torch.backends.cuda.matmul, "tf32"),
        (torch.backends.cudnn.conv, "tf32"),  # type: ignore[attr-defined]
    ]
    before = [kind.fp32_precision for kind, _ in kinds]
    try:
        for kind, name in kinds:
            kind.fp32_precision = name
        yield
    finally:
        for (kind, _), name in zip(kinds, before, strict=True):
            kind.fp32_precision = name
