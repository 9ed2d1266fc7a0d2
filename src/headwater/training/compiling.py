"""torch.compile where the budget pays for it, with the plain loss as the fallback and the judge."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.utils import get_total_norm

from headwater.compilers import missing_compiler
from headwater.models.base import Batch, GenerativeModel, Losses
from headwater.progress import Progress
from headwater.rng import Rng
from headwater.training.precision import autocast, products

__all__ = ["COMPILE_SECONDS", "Loss", "can_compile", "compiled_loss", "pays"]

Loss = Callable[[Batch, str, Rng], Losses]

COMPILE_SECONDS = 40.0
_WORTH = 10.0
_TOLERANCE = {"float64": 1e-6, "float32": 1e-3, "reduced": 2e-2, "bfloat16": 2e-2}


def can_compile(model: GenerativeModel, device: torch.device) -> str:
    """Why the model's loss cannot be compiled here, or "" if it can."""
    if not model.compilable:
        return "this model differentiates twice, which torch.compile does not support"
    return missing_compiler(device)


def pays(remaining_seconds: float) -> bool:
    """Whether the work that is left is ten times the time that compiling takes.

    >>> pays(60.0), pays(3600.0)
    (False, True)
    """
    return remaining_seconds > _WORTH * COMPILE_SECONDS


def compiled_loss(
    model: GenerativeModel, batch: Batch, rng: Rng, progress: Progress, *, precision: str = "float32"
) -> tuple[Loss, bool]:
    """``model.loss`` compiled, and whether it is: the plain one if it fails to compile or disagrees.

    Losses and gradient norms of both are compared on ``batch``; a relative difference above
    1e-3 (1e-6 in float64, 2e-2 in lower precision) is a disagreement.
    """
    reason = can_compile(model, batch.x.device)
    if not reason:
        compiled: Loss = torch.compile(model.loss, dynamic=False)
        try:
            reason = _disagreement(model, compiled, batch, rng, precision)
        except RuntimeError as error:  # what Dynamo, Inductor and the C++ compiler raise in common
            reason = f"compiling failed ({type(error).__name__}: {str(error).strip().splitlines()[0]})"
        if not reason:
            return compiled, True
    progress.note(f"Training goes on uncompiled: {reason}.")
    return model.loss, False


def _disagreement(model: GenerativeModel, compiled: Loss, batch: Batch, rng: Rng, precision: str) -> str:
    buffers = [buffer.clone() for buffer in model.buffers()]
    tolerance = _TOLERANCE[precision]
    for player in model.players():
        measured = []
        for loss in (model.loss, compiled):
            with products(precision):
                with autocast(precision, batch.x.device):
                    total = loss(batch, player.name, rng.fold(player.name)).total
                gradients = torch.autograd.grad(total, player.parameters, allow_unused=True)
            norm = get_total_norm([gradient for gradient in gradients if gradient is not None])
            measured.append(torch.stack([total.detach(), norm.to(total.dtype)]))
            _restore(model, buffers)
        plain, fast = measured
        if not torch.allclose(fast, plain, rtol=tolerance, atol=tolerance):
            return f"loss and gradient norm of {player.name!r} are {fast.tolist()} compiled, {plain.tolist()} plain"
    return ""


@torch.no_grad()
def _restore(model: GenerativeModel, buffers: list[torch.Tensor]) -> None:
    for buffer, saved in zip(model.buffers(), buffers, strict=True):
        buffer.copy_(saved)
