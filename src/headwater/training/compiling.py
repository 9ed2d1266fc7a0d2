"""torch.compile where the budget pays for it, with the plain loss as the fallback and the judge."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable

import torch

from headwater.models.base import Batch, GenerativeModel, Losses
from headwater.progress import Progress
from headwater.rng import Rng

__all__ = ["COMPILE_SECONDS", "Loss", "can_compile", "compiled_loss", "pays"]

Loss = Callable[[Batch, str, Rng], Losses]

COMPILE_SECONDS = 40.0
_WORTH = 10.0
_COMPILERS = ("c++", "g++", "clang++", "cl")
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}


def can_compile(model: GenerativeModel, device: torch.device) -> str:
    """Why the model's loss cannot be compiled here, or "" if it can."""
    if not model.compilable:
        return "this model differentiates twice, which torch.compile does not support"
    if device.type == "cpu" and not any(
        shutil.which(name) for name in (os.environ.get("CXX", ""), *_COMPILERS) if name
    ):
        return "no C++ compiler was found"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if device.type not in ("cpu", "cuda"):
        return f"torch.compile is not used on {device.type}"
    return ""


def pays(remaining_seconds: float) -> bool:
    """Whether the work that is left is ten times the time that compiling takes.

    >>> pays(60.0), pays(3600.0)
    (False, True)
    """
    return remaining_seconds > _WORTH * COMPILE_SECONDS


def compiled_loss(
    model: GenerativeModel, batch: Batch, rng: Rng, progress: Progress, *, device: torch.device
) -> tuple[Loss, bool]:
    """``model.loss`` compiled, and whether it is: the plain one if it fails to compile or disagrees.

    Both are evaluated on ``batch``; a relative difference above 1e-3 (1e-6 in float64) is a disagreement.
    """
    reason = can_compile(model, device)
    if not reason:
        compiled: Loss = torch.compile(model.loss, dynamic=False)
        try:
            reason = _disagreement(model, compiled, batch, rng)
        except RuntimeError as error:  # what Dynamo, Inductor and the C++ compiler raise in common
            reason = f"compiling failed ({type(error).__name__}: {str(error).strip().splitlines()[0]})"
        if not reason:
            return compiled, True
    progress.note(f"Training goes on uncompiled: {reason}.")
    return model.loss, False


@torch.no_grad()
def _disagreement(model: GenerativeModel, compiled: Loss, batch: Batch, rng: Rng) -> str:
    buffers = [buffer.clone() for buffer in model.buffers()]
    for player in model.players():
        with torch.enable_grad():
            plain = model.loss(batch, player.name, rng).total.detach()
            _restore(model, buffers)
            fast = compiled(batch, player.name, rng).total.detach()
            _restore(model, buffers)
        tolerance = _TOLERANCE.get(plain.dtype, 2e-2)
        if not bool(torch.isclose(fast, plain, rtol=tolerance, atol=tolerance)):
            return f"the compiled loss of {player.name!r} is {float(fast):g}, the plain one {float(plain):g}"
    return ""


def _restore(model: GenerativeModel, buffers: list[torch.Tensor]) -> None:
    for buffer, saved in zip(model.buffers(), buffers, strict=True):
        buffer.copy_(saved)
