"""Ctrl-C and SIGTERM: the first asks to finish the step and save, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType, TracebackType

__all__ = ["StopRequest"]

_TOGETHER = 5.0
_WAIT = b"\nFinishing this step and saving; once more leaves at once.\n"
_LEAVE = b"\nLeft at once; the newest checkpoint is intact.\n"


class StopRequest:
    """While entered, the first SIGINT or SIGTERM sets ``requested``; the second ends the process with 130.

    The exit is immediate, without clean-up: publishing a checkpoint is atomic, so
    the previous one is intact wherever the second signal strikes.

    Args:
        shared: Several processes under one launcher: it forwards the terminal's signal, so
            what comes within five seconds of the first counts as the same request.
    """

    def __init__(self, *, shared: bool = False) -> None:
        self.requested = False
        self._grace = _TOGETHER if shared else 0.0
        self._first = 0.0
        self._previous: dict[int, object] = {}

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.requested:
            self.requested, self._first = True, now
            os.write(2, _WAIT)
        elif now - self._first >= self._grace:
            os.write(2, _LEAVE)
            os._exit(130)

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous.clear()
