"""Reading rows ahead in threads; the order is decided before, so the number of threads changes nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["ReadAhead"]

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Calls ``read(step)`` for coming steps in ``workers`` threads; without threads, when asked.

    Args:
        read: A pure function of the step.
        workers: Number of threads; 0 reads when asked.

    >>> with ReadAhead(lambda step: step * step, workers=2) as squares:
    ...     [squares(step) for step in (3, 4, 9)]
    [9, 16, 81]
    """

    def __init__(self, read: Callable[[int], T], workers: int) -> None:
        self._read = read
        self._ahead = workers + 1
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="headwater-read") if workers else None
        self._queue: deque[tuple[int, Future[T]]] = deque()

    def __call__(self, step: int) -> T:
        if self._pool is None:
            return self._read(step)
        if self._queue and self._queue[0][0] != step:  # a rollback: what was read ahead is of no use
            self._drop()
        while len(self._queue) < self._ahead:
            wanted = step + len(self._queue)
            self._queue.append((wanted, self._pool.submit(self._read, wanted)))
        return self._queue.popleft()[1].result()

    def _drop(self) -> None:
        for _, future in self._queue:
            future.cancel()
        self._queue.clear()

    def __enter__(self) -> ReadAhead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
