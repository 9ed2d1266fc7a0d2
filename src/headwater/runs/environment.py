"""What a run was made with, for ``run.json``: versions, machine, threads, seed, command, code, data."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["environment_record", "git_commit"]


def environment_record(*, seed: int, device: str, fingerprint: str | None, **more: Any) -> dict[str, Any]:
    """The record that ``run.json`` holds; ``more`` is added to it.

    Args:
        seed: Seed of weights, order and noise.
        device: Device it computes on.
        fingerprint: Hash of the data.
    """
    return {
        "headwater": version("headwater"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "vector_unit": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": device,
        "seed": seed,
        "command": shlex.join(sys.argv),
        "git": git_commit(Path.cwd()),
        "data_fingerprint": fingerprint,
        "started": datetime.now(UTC).isoformat("T", "seconds"),
        **more,
    }


def git_commit(folder: Path) -> str | None:
    """The commit checked out around ``folder``, read from the files: running git would obey that folder's own hooks."""
    place = next((parent for parent in (folder, *folder.parents) if (parent / ".git").is_dir()), None)
    if place is None:
        return None
    git = place / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="ascii").strip()
        if not head.startswith("ref: "):
            return head[:40]
        name = head.removeprefix("ref: ")
        loose = git / name
        if loose.is_file():
            return loose.read_text(encoding="ascii").strip()[:40]
        packed = (git / "packed-refs").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), None)
