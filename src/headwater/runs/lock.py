"""One process per run: an advisory lock that the system itself releases when its owner dies."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from headwater.errors import BusyError, ResourceError
from headwater.runs.files import reporting

__all__ = ["RunLock"]


class RunLock:
    """Holds a run for writing; ``flock`` decides, the file's content only tells who it is.

    A process that died leaves its name in the file but not its lock, so the next
    one takes over; ``taken_over`` then says from whom. The file itself stays:
    removing it would let a third process lock a name that is gone.

    Args:
        path: The lock file.

    Raises:
        BusyError: on entering, another living process holds it; names its pid and host.
        ResourceError: the system refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taken_over = ""
        self._descriptor: int | None = None

    def __enter__(self) -> RunLock:
        import fcntl  # POSIX only; reading a run needs no lock and works anywhere

        assert self._descriptor is None, "a lock is entered once"
        with reporting(self.path, "Locking"):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(descriptor)
            os.close(descriptor)
            raise BusyError(
                f"The run {self.path.parent} is being written by {owner}.",
                hint="Wait for it, stop it, or choose another place (--name, --out).",
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise ResourceError(f"Locking {self.path} failed: {error.strerror}.") from error
        self.taken_over = _owner(descriptor) if os.fstat(descriptor).st_size else ""
        self._descriptor = descriptor
        with reporting(self.path, "Locking"):
            _sign(descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import fcntl

        assert self._descriptor is not None
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(OSError):  # the folder may be gone; closing releases the lock all the same
            os.ftruncate(descriptor, 0)
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for copies of the descriptor in forked children
        os.close(descriptor)


def _sign(descriptor: int) -> None:
    record = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat("T", "seconds")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(record).encode(), 0)


def _owner(descriptor: int) -> str:
    try:
        record = json.loads(os.pread(descriptor, 4096, 0).decode())
        return f"process {record['pid']} on {record['host']} since {record['since']}"
    except (ValueError, TypeError, KeyError):
        return "another process"
