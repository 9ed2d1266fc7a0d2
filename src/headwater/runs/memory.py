"""How much memory this process may still take: the machine's and the container's limits, whichever is less."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_bytes"]

_CONTAINER = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_bytes() -> int:
    """Bytes that can still be allocated without swapping, as far as the system tells.

    >>> available_bytes() > 0
    True
    """
    limits = [_machine()]
    for most, used in _CONTAINER:
        limit, taken = _number(most), _number(used)
        if limit is not None and taken is not None:
            limits.append(max(limit - taken, 0) + _reclaimable())
    return max(min(limits), 1)


def _machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux: half of all memory is a careful guess
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _reclaimable() -> int:
    """The container's page cache counts as used but gives way."""
    try:
        lines = Path("/sys/fs/cgroup/memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
