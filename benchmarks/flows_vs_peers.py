"""Normalizing flows side by side with zuko, nflows, normflows and flowjax.

    python -m venv PEERS
    PEERS/bin/pip install -c constraints.txt zuko==1.6.0 nflows==0.14 normflows==1.7.3 flowjax==19.1.2 jax==0.10.2
    python -m benchmarks.flows_vs_peers --peers PEERS/bin/python

The same network in every library: five transforms, two plain hidden layers of 256, ReLU, 8 bins up to 4, 512 rows
per minibatch of resident data, Adam. One process per library (``benchmarks.peers.worker``); they are asked one
after another, so that only one computes at any time, on as many cores as ``--threads``. Each task is timed for
``--seconds`` in each of up to ``--rounds`` rounds that go round the libraries; the figure is the median.

Modes: as it is and under ``torch.compile`` (we, and each torch library; each function on its own), jitted
(flowjax); float32, and bfloat16 inside matrix products where the machine makes a difference of it. The fastest
mode of the fastest peer is "the peer".

What bounds the time, all of it recorded beside the figure it takes the place of:

* sampling of the torch peers is compiled only with ``--compile-sampling``: it takes a minute with 6 features, does
  not end within ``--patience`` with many, and jitted flowjax is the fastest sampler among the peers anyway;
* a compiled first call without an answer in ``--patience`` seconds is stopped;
* compiling that failed, or was less than half as fast as the library's fastest mode, is not tried again
  with more features;
* 4096 rows are asked of a library's mode that is fastest with 512, and of others only if that takes less than
  ``--slow`` seconds; a call slower than that is timed once;
* each work gets an equal share of what is left of ``--minutes`` and stops going round when it is used up;
  every mode gets one round in any case.

A number of features takes about 20 minutes on two cores, more than half of them for compiling.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.driver import NoAnswerError, Process
from benchmarks.peers.ratios import Entry, fastest, ratios, table
from benchmarks.peers.shared import BATCH, BINS, BOUND, HIDDEN, MODULES, OURS, TASKS, TRANSFORMS, WORKS
from benchmarks.record import write

_MEMORY_STEPS = 3
_SAMPLING = ("sample-512", "sample-4096", "joint-512")
_LOST = 0.5


class Comparison:
    """The processes, what they answered, and what was found not to be worth trying again."""

    def __init__(self, chosen: argparse.Namespace, cache: str) -> None:
        self.chosen, self.cache = chosen, cache
        self.processes = {library: self._process(library) for library in chosen.libraries}
        self.libraries = {library: process.ask("hello") for library, process in self.processes.items()}
        for library, hello in self.libraries.items():
            assert hello["imports_headwater"] == (library == OURS), f"{library}'s process imports headwater"
        self.entries: list[Entry] = []
        self.networks: list[dict[str, Any]] = []
        self.memory: list[dict[str, Any]] = []
        self.hopeless: dict[tuple[str, str, str, str], str] = {}

    def measure_memory(self) -> None:
        """Peaks of fresh processes, one per library and work, that train with more and more features."""
        for work, library in itertools.product(self.chosen.works, self.chosen.libraries):
            process = self._process(library)
            try:
                self.memory += [self._peak(process, work, features) for features in sorted(self.chosen.features)]
            finally:
                process.stop()

    def compare(self, work: str, features: int, deadline: float) -> None:
        """Everything about one work: networks, warming up, then rounds."""
        self._describe(work, features)
        entries = list(self._contenders(work, features))
        for entry in sorted(entries, key=lambda entry: not _risky(entry)):  # a stopped worker forgets all it compiled
            if entry.task != "sample-4096":
                self._block(entry, entries, seconds=0.0)
        for number in range(self.chosen.rounds):
            if number and time.monotonic() > deadline:
                break
            for entry in entries:
                if not entry.blocks or entry.call <= self.chosen.slow:
                    self._block(entry, entries, seconds=self.chosen.seconds)
        self._learn(entries)
        self.entries += entries

    def stop(self) -> None:
        """End all processes."""
        for process in self.processes.values():
            process.stop()

    def figures(self) -> dict[str, Any]:
        """For the result file."""
        asked = {key: value for key, value in vars(self.chosen).items() if key not in ("peers", "out")}
        network = {"transforms": TRANSFORMS, "hidden": HIDDEN, "bins": BINS, "bound": BOUND, "batch": BATCH}
        return {
            "settings": asked,
            "network": network,
            "libraries": self.libraries,
            "ratios": [row.record() for row in ratios(self.entries)],
            "networks": self.networks,
            "peak_memory_mib": self.memory,
            "entries": [entry.record() for entry in self.entries],
        }

    def _peak(self, process: Process, work: str, features: int) -> dict[str, Any]:
        row: dict[str, Any] = {"work": work, "features": features, "library": process.library}
        try:
            row |= process.ask("memory", work=work, features=features, steps=_MEMORY_STEPS)
        except NoAnswerError as error:
            row["failure"] = str(error)
        _tell(f"{process.library}, {work}, {features} features: {row.get('after', row.get('failure'))} MiB")
        return row

    def _process(self, library: str) -> Process:
        python = sys.executable if library == OURS else self.chosen.peers
        return Process(library, python, self.chosen.threads, self.cache)

    def _describe(self, work: str, features: int) -> None:
        for library, process in self.processes.items():
            row: dict[str, Any] = {"work": work, "features": features, "library": library}
            for op in ("describe", "agree") + (("explain",) if features == min(self.chosen.features) else ()):
                try:
                    row |= process.ask(op, work=work, features=features)
                except NoAnswerError as error:
                    row[f"{op}_failure"] = str(error)
            self.networks.append(row)

    def _contenders(self, work: str, features: int) -> Iterator[Entry]:
        for task, (library, hello) in itertools.product(TASKS, self.libraries.items()):
            for mode, tasks in hello["modes"].items():
                for precision in ("float32", "bfloat16") if hello["reduces"] else ("float32",):
                    skipped = mode == "compiled" and task in _SAMPLING and library != OURS
                    if task in tasks and (self.chosen.compile_sampling or not skipped):
                        failure = self.hopeless.get((work, library, mode, task))
                        yield Entry(work, features, task, library, mode, precision, failure=failure)

    def _block(self, entry: Entry, entries: list[Entry], *, seconds: float) -> None:
        if entry.failure or (entry.task == "sample-4096" and not self._worth_4096(entry, entries)):
            return
        within = self.chosen.patience if entry.mode == "compiled" else 600.0
        asked = {key: getattr(entry, key) for key in ("work", "features", "mode", "precision", "task")}
        try:
            answer = self.processes[entry.library].ask(
                "block", within=within, seconds=seconds, slow=self.chosen.slow, **asked
            )
            if answer["wrong"]:
                raise NoAnswerError(answer["wrong"])
        except NoAnswerError as error:
            _give_up(entry, entries, str(error))
            _tell(f"{entry.library} {entry.mode} {entry.task}: {error}")
            return
        if entry.first is None:
            entry.first, entry.warming = answer["first"], answer["warming"]
        if answer["warming"] is not None:
            _tell(f"{entry.library} {entry.mode} {entry.task}: {answer['warming']:.1f} s until warm")
        if seconds or answer["seconds"] / answer["calls"] > self.chosen.slow:
            entry.blocks.append((answer["calls"], answer["seconds"]))

    def _worth_4096(self, entry: Entry, entries: list[Entry]) -> bool:
        if entry.blocks:
            return True
        small = [e for e in entries if e.library == entry.library and e.task == "sample-512"]
        mine = [e for e in small if (e.mode, e.precision) == (entry.mode, entry.precision)]
        best = fastest(small)
        if best in mine or (mine and mine[0].call * 8 <= self.chosen.slow):
            return True
        entry.failure = "not tried: slow with 512 rows, and another mode of this library is faster there"
        return False

    def _learn(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.mode != "compiled" or entry.precision != "float32" or entry.task == "sample-4096":
                continue
            best = fastest(e for e in entries if e.library == entry.library and e.task == entry.task)
            place = (entry.work, entry.library, entry.mode, entry.task)
            if entry.failure:
                self.hopeless.setdefault(place, f"not tried: with {entry.features} features {entry.failure}")
            elif best is not None and entry.rate < _LOST * best.rate:
                self.hopeless[place] = (
                    f"not tried: with {entry.features} features {entry.rate / best.rate:.2f} x {best.mode}"
                )


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _risky(entry: Entry) -> bool:
    return entry.mode == "compiled" and entry.task in _SAMPLING


def _give_up(entry: Entry, entries: list[Entry], reason: str) -> None:
    """A failure is one of both precisions; one in sampling is one of all that samples by the same loop."""
    related = _SAMPLING if entry.task in ("sample-512", "joint-512") and entry.mode == "compiled" else (entry.task,)
    for other in entries:
        same = other.library == entry.library and other.mode == entry.mode and other.task in related
        if same and not other.blocks:
            other.failure = reason if other.task == entry.task else f"not tried: {entry.task} had {reason}"
    entry.failure = reason


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter of an environment that has the peers")
    parser.add_argument("--libraries", nargs="+", choices=tuple(MODULES), default=list(MODULES))
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--features", nargs="+", type=int, default=[6, 21, 43, 63])
    parser.add_argument("--rounds", type=int, default=3, help="most rounds")
    parser.add_argument("--seconds", type=float, default=0.25, help="of a block")
    parser.add_argument("--slow", type=float, default=3.0, help="seconds of a call that is timed only once")
    parser.add_argument("--patience", type=float, default=90.0, help="seconds until a compiled call is stopped")
    parser.add_argument("--minutes", type=float, default=35.0, help="in which to go round")
    parser.add_argument("--compile-sampling", action="store_true", help="of the torch peers too")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="result file; default: results/flows-vs-peers.json")
    chosen = parser.parse_args()
    if chosen.peers is None and set(chosen.libraries) != {OURS}:
        parser.error("--peers PYTHON is needed: the interpreter of an environment that has the peers")
    return chosen


def main() -> None:
    """Go round, and record after each work."""
    chosen = _arguments()
    torch.set_num_threads(chosen.threads)
    given = [word for word in sys.argv[1:] if word not in ("--peers", chosen.peers)]
    command = " ".join(["python -m benchmarks.flows_vs_peers --peers PEERS/bin/python", *given])
    end = time.monotonic() + 60 * chosen.minutes
    with tempfile.TemporaryDirectory() as cache:
        comparison = Comparison(chosen, cache)
        try:
            comparison.measure_memory()
            works = list(itertools.product(sorted(chosen.features), chosen.works))
            for number, (features, work) in enumerate(works):
                now = time.monotonic()
                comparison.compare(work, features, now + (end - now) / (len(works) - number))
                path = write("flows-vs-peers", command, comparison.figures(), chosen.out)
                _tell(f"{work}, {features} features: {time.monotonic() - now:.0f} s")
        finally:
            comparison.stop()
    print(table(ratios(comparison.entries)))
    print(f"\nWritten to {path}.")


if __name__ == "__main__":
    main()
