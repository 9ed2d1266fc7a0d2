"""Places where tests may kill the process or fill the disk, to prove that nothing is lost there."""

from __future__ import annotations

import errno
import os
import signal
from collections import Counter

__all__ = ["FAILPOINT_VARIABLE", "failpoint"]

FAILPOINT_VARIABLE = "HEADWATER_FAILPOINT"
_passed: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Do nothing, unless the environment holds ``HEADWATER_FAILPOINT=name:kill|enospc|raise[:nth]``.

    ``nth`` counts the passages through this place under the same request, from 1, and defaults to 1.

    >>> failpoint("mid-tensor")
    """
    request = os.environ.get(FAILPOINT_VARIABLE)
    if not request:
        return
    wanted, action, *nth = request.split(":")
    if wanted != name:
        return
    _passed[request] += 1
    if _passed[request] != int(nth[0] if nth else 1):
        return
    match action:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "enospc":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        case "raise":
            raise RuntimeError(f"failpoint {name}")
        case _:
            raise ValueError(f"{FAILPOINT_VARIABLE}={request}: expected name:kill|enospc|raise[:nth]")
