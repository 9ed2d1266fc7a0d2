"""Which device to compute on, and what to do when its memory is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from headwater.errors import ResourceError, UsageError

__all__ = ["available_devices", "choose_device", "memory_advice"]

_OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


def available_devices() -> tuple[str, ...]:
    """Names of the devices that work here, best first.

    >>> available_devices()[-1]
    'cpu'
    """
    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        found.append("mps")
    return (*found, "cpu")


def choose_device(name: str, *, local_rank: int = 0) -> torch.device:
    """The device of a name; ``auto`` takes the best there is. Never another than was asked for.

    Args:
        name: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        local_rank: Which of the machine's GPUs, where several processes share ``cuda`` or ``auto``.

    Raises:
        UsageError: not the name of a device.
        ResourceError: a device that this machine has not, or that does not answer.
    """
    found = available_devices()
    try:
        device = torch.device(found[0].partition(":")[0] if name == "auto" else name)
    except RuntimeError:
        raise UsageError(
            f"{name!r} is not a device.", hint=f"Use --device auto or one of: {', '.join(found)}"
        ) from None
    if str(device) == "cuda":
        device = torch.device("cuda", local_rank)
    wanted = f"cuda:{device.index}" if device.type == "cuda" else device.type
    if wanted not in found:
        raise ResourceError(
            f"Expected a device of this machine, got {name!r}; available: {', '.join(found)}.",
            hint=f"Use --device {found[0]}, or install the PyTorch build for your device: https://pytorch.org",
        )
    try:
        torch.zeros(1, device=device).add_(1)
    except RuntimeError as error:
        raise ResourceError(
            f"The device {name!r} is there but does not work: {error}; available: {', '.join(found)}.",
            hint="Use --device cpu, or mend the driver.",
        ) from error
    return device


@contextmanager
def memory_advice(batch_size: int) -> Iterator[None]:
    """Turn an exhausted memory into an error that says what to type next.

    Raises:
        ResourceError: the device's or the machine's memory was not enough.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        told = str(error).lower()
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not any(s in told for s in _OUT_OF_MEMORY):
            raise
        reason = str(error).splitlines()[0] if str(error) else "no detail"
        raise ResourceError(
            f"Out of memory at a batch size of {batch_size}: {reason}",
            hint=f"Halve it: --set training.batch_size={max(1, batch_size // 2)} (or choose a smaller model).",
        ) from error
