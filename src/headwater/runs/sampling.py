"""New events from a model, batch by batch: event i is the same at any batch size, and a spoiled one is never hidden."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.data.codec import Codec
from headwater.errors import DivergenceError, UsageError
from headwater.models.base import GenerativeModel
from headwater.progress import Progress
from headwater.rng import Rng

__all__ = ["MAX_SPOILED", "check_finite", "choose_batch_size", "model_device", "model_dtype", "sample_events"]

MAX_SPOILED = 0.01
_ELEMENTS_AT_ONCE = 2**20


def model_device(model: torch.nn.Module) -> torch.device:
    """Where the model's numbers are."""
    found = next(iter([*model.parameters(), *model.buffers()]), None)
    return torch.device("cpu") if found is None else found.device


def model_dtype(model: torch.nn.Module) -> torch.dtype:
    """The float type that the model computes in."""
    return next((t.dtype for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()), torch.float32)


def choose_batch_size(batch_size: int | None, event_size: int) -> int:
    """The batch size asked for, or one that keeps memory bounded for any event.

    Raises:
        UsageError: less than one.
    """
    if batch_size is None:
        return max(8, min(1024, _ELEMENTS_AT_ONCE // max(event_size, 1)))
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}.")
    return batch_size


def sample_events(
    model: GenerativeModel,
    codec: Codec,
    n: int,
    *,
    labels: Tensor | None,
    seed: int,
    batch_size: int | None,
    progress: Progress,
    options: dict[str, Any],
) -> Float[Tensor, "n *event"]:
    """``n`` events in the model's encoding, on the CPU, unchecked.

    Args:
        model: In eval mode.
        codec: The run's, on the model's device.
        n: How many.
        labels: One per event, or None.
        seed: Event i depends on ``(seed, i)``, its label and the options alone.
        batch_size: Events at a time; None: chosen.
        progress: Advances by events.
        options: Checked against the model's ``Sampling``.

    Raises:
        UsageError: fewer than one event, or an option that the model does not have.
    """
    if n < 1:
        raise UsageError(f"The number of samples must be at least 1, got {n}.")
    # Only what was asked for is passed on: the model itself knows its defaults.
    checked = type(model).Sampling.parse(options, where="sampling").model_dump(exclude_unset=True)
    size, device = choose_batch_size(batch_size, model.event.size), model_device(model)
    parts: list[Tensor] = []
    with progress.phase("Sampling", total=n, unit="samples") as phase, torch.no_grad():
        for start in range(0, n, size):
            count = min(size, n - start)
            given = None if labels is None else labels[start : start + count].to(device)
            rng = Rng.of(seed, count, start=start, device=device)
            parts.append(model.sample(count, context=codec.encode_context(given, count), rng=rng, **checked).cpu())
            phase.advance(count)
    return torch.cat(parts)


def check_finite(events: Float[Tensor, "n *event"], progress: Progress) -> list[int]:
    """Numbers of the events that hold NaN or infinity; they are reported, not dropped and not mended.

    Raises:
        DivergenceError: more than 1 % are spoiled.
    """
    spoiled = torch.nonzero(~torch.isfinite(events).flatten(1).all(dim=1)).flatten().tolist()
    if not spoiled:
        return []
    shown = ", ".join(map(str, spoiled[:10])) + (", ..." if len(spoiled) > 10 else "")
    text = f"{len(spoiled)} of {len(events)} samples hold NaN or infinity (numbers {shown})"
    if len(spoiled) > MAX_SPOILED * len(events):
        raise DivergenceError(
            f"{text}; at most {MAX_SPOILED:.0%} are tolerated.",
            hint="The model diverged: train it again with a lower learning rate (--set optimizer.lr=...), "
            "or take other sampling options (more solver steps, a lower guidance).",
        )
    progress.warn(f"{text}; they are left as they are.")
    return spoiled
