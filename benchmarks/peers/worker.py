"""One library in one long-lived process, asked by JSON lines: ``python -m benchmarks.peers.worker LIBRARY THREADS``.

Every request is an object with ``op`` and that function's arguments; every answer is an object, with ``error``
where the library raised. The process's standard output is moved aside first, so that what libraries print
goes to standard error and never into an answer.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.shared import BATCH, MODULES, TASKS, Flow, Library

__all__ = ["Worker", "main"]

_MOST_WARMING = 6


class Worker:
    """The flows of one work, and how long each of their calls takes."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._current: tuple[str, int] | None = None
        self._flows: dict[str, Flow] = {}
        self._seconds: dict[tuple[str, str, str], float] = {}

    def hello(self) -> dict[str, Any]:
        """What runs here."""
        return {
            "versions": self.library.versions(),
            "modes": {mode: list(self.library.TASKS_OF[mode]) for mode in self.library.MODES},
            "reduces": self.library.reduces(),
            "imports_headwater": "headwater" in sys.modules,
        }

    def describe(self, work: str, features: int) -> dict[str, Any]:
        """The network that the library builds."""
        flow = self._flow(work, features, self.library.MODES[0])
        return {"parameters": flow.parameters, "network": flow.network}

    def explain(self, work: str, features: int) -> dict[str, Any]:
        """Graphs and graph breaks of ``log_prob`` under Dynamo; none where the library has another compiler."""
        explain = self._flow(work, features, self.library.MODES[0]).explain
        return {"counts": None} if explain is None else {"counts": list(explain())}

    def agree(self, work: str, features: int) -> dict[str, Any]:
        """The largest difference between the joint pass's log-densities and those of scoring its samples, in nats."""
        flow = self._flow(work, features, self.library.MODES[0])
        with self.library.precision("float32"):
            x, joint = flow.sample_and_log_prob(BATCH)
            scored = np.asarray(flow.log_prob(x), dtype=np.float64)
        self._current = None  # what this compiled must not spare a later first call its time
        return {"difference": float(np.abs(scored - np.asarray(joint)).max())}

    def block(
        self, work: str, features: int, mode: str, precision: str, task: str, seconds: float, slow: float
    ) -> dict[str, Any]:
        """As many calls as fit into so many seconds, at least one; a plain first call slower than ``slow`` is the one.

        What the last call gave is looked at when the clock has stopped: see :func:`_wrong`.
        """
        flow = self._flow(work, features, mode)
        call = _call(flow, task)
        key = (mode, task, "" if self.library.SHARED else precision)
        first = warming = None
        with self.library.precision(precision):
            if key not in self._seconds:
                first, result = _timed(flow, call, 1)
                self._seconds[key] = warming = first
                if mode == "eager" and first > slow:
                    wrong = _wrong(result, task, features)
                    return {"first": first, "warming": first, "calls": 1, "seconds": first, "wrong": wrong}
                warming += self._warm(flow, call, key)
            calls = max(1, int(seconds / self._seconds[key]))
            elapsed, result = _timed(flow, call, calls)
        self._seconds[key] = elapsed / calls
        wrong = _wrong(result, task, features)
        return {"first": first, "warming": warming, "calls": calls, "seconds": elapsed, "wrong": wrong}

    def memory(self, work: str, features: int, steps: int) -> dict[str, Any]:
        """MiB of the process at its highest, before and after training; for a fresh process."""
        before = _peak()
        flow = self._flow(work, features, self.library.MODES[0])
        for _ in range(steps):
            flow.wait(flow.train_step())
        return {"before": before, "after": _peak()}

    def _warm(self, flow: Flow, call: Callable[[], Any], key: tuple[str, str, str]) -> float:
        """Seconds of more calls, until one compiles nothing; the last is the estimate of a call."""
        total = 0.0
        for _ in range(_MOST_WARMING):
            graphs = self.library.graphs()
            self._seconds[key], _ = _timed(flow, call, 1)
            total += self._seconds[key]
            if self.library.graphs() == graphs:
                break
        return total

    def _flow(self, work: str, features: int, mode: str) -> Flow:
        if self._current != (work, features):
            self._current, self._flows, self._seconds = (work, features), {}, {}
            self.library.forget()
            gc.collect()
        if mode not in self._flows:
            self._flows[mode] = self.library.build(work, features, mode)
        return self._flows[mode]


def _call(flow: Flow, task: str) -> Callable[[], Any]:
    """The call to repeat; each waits for its result, but for steps of training, of which each needs the last."""
    method, rows = getattr(flow, TASKS[task].method), TASKS[task].rows
    if task == "train":
        return method
    argument = flow.rows() if task == "log_prob" else rows

    def call() -> Any:
        result = method(argument)
        flow.wait(result)
        return result

    return call


def _timed(flow: Flow, call: Callable[[], Any], calls: int) -> tuple[float, Any]:
    """Seconds, and the last result."""
    start = time.perf_counter()
    for _ in range(calls):
        result = call()
    flow.wait(result)
    return time.perf_counter() - start, result


def _wrong(result: Any, task: str, features: int) -> str | None:
    """What is not as it should be: a shape, or a figure that is not finite."""
    rows = TASKS[task].rows
    parts = [np.asarray(part) for part in (result if isinstance(result, tuple) else (result,))]
    shapes: dict[str, list[tuple[int, ...]]] = {"train": [()], "log_prob": [(rows,)]}
    expected = shapes.get(task, [(rows, features), (rows,)][: len(parts)])
    if [part.shape for part in parts] != expected:
        return f"expected shapes {expected}, got {[part.shape for part in parts]}"
    return None if all(np.isfinite(part).all() for part in parts) else "not all figures are finite"


def _peak() -> float:
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)


def main(name: str, threads: int) -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    if name != "flowjax":
        import torch

        torch.set_num_threads(threads)
    worker = Worker(importlib.import_module(MODULES[name]))  # type: ignore[arg-type]
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("op"))(**request)
        except Exception as error:  # noqa: BLE001  whatever a library raises is a result
            text = str(error).strip() or "no message"
            answer = {"error": f"{type(error).__name__}: {text.splitlines()[0][:300]}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
