"""The other end of a worker: ask, wait so long and no longer, start again after a crash."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["NoAnswerError", "Process"]

_ROOT = Path(__file__).parents[2]


class NoAnswerError(Exception):
    """The worker raised, died or took too long; the text says which."""


class Process:
    """A worker of one library, started when first asked and again after it was stopped.

    Args:
        library: A key of :data:`benchmarks.peers.shared.MODULES`.
        python: The interpreter that has the library.
        threads: Threads, and processor cores, that it may use.
        cache: Folder for compiled code.
    """

    def __init__(self, library: str, python: str, threads: int, cache: str) -> None:
        self.library, self.python, self.threads, self.cache = library, python, threads, cache
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str] = queue.Queue()
        self._log: IO[bytes] | None = None
        self._reader: threading.Thread | None = None

    def ask(self, op: str, *, within: float = 600.0, **arguments: Any) -> dict[str, Any]:
        """The answer.

        Raises:
            NoAnswerError: there is none within so many seconds (the worker is then stopped), or it is an error.
        """
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
            process.stdin.flush()
            line = self._lines.get(timeout=within)
        except queue.Empty:
            self.stop()
            raise NoAnswerError(f"no result in {within:g} s") from None
        except BrokenPipeError:
            line = ""
        if not line:
            code, words = process.wait(), self._last_words()
            self.stop()
            raise NoAnswerError(f"the worker died with code {code}: {words}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise NoAnswerError(answer["error"])
        return answer

    def stop(self) -> None:
        """End the worker and the compilers that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._reader is not None:
            self._reader.join()
        for stream in (process.stdin, process.stdout, self._log):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            threads = str(self.threads)
            names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")
            cores = sorted(os.sched_getaffinity(0))[: self.threads]
            self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed by stop
            self._process = subprocess.Popen(
                [self.python, "-m", "benchmarks.peers.worker", self.library, threads],
                cwd=_ROOT,
                env={**os.environ, **dict.fromkeys(names, threads), **self._place()},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                start_new_session=True,
            )
            os.sched_setaffinity(self._process.pid, cores)  # before it starts threads: XLA counts cores
            self._lines = queue.Queue()
            self._reader = threading.Thread(target=_forward, args=(self._process.stdout, self._lines), daemon=True)
            self._reader.start()
        return self._process

    def _place(self) -> dict[str, str]:
        return {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "TORCHINDUCTOR_CACHE_DIR": self.cache}

    def _last_words(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"


def _forward(lines: IO[str] | None, into: queue.Queue[str]) -> None:
    assert lines is not None
    for line in lines:
        into.put(line)
    into.put("")
