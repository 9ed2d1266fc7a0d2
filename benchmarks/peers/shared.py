"""What every library is asked to build, the data it trains on, and the interface it answers through.

Workers of the peers import this: numpy only, nothing of headwater.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np

__all__ = [
    "BATCH",
    "BINS",
    "BOUND",
    "HIDDEN",
    "LEARNING_RATE",
    "MODULES",
    "OURS",
    "TASKS",
    "TRANSFORMS",
    "WORKS",
    "Flow",
    "Library",
    "Task",
    "batch_order",
    "training_data",
]

WORKS = ("autoregressive-spline", "coupling-spline", "maf")
TRANSFORMS, HIDDEN, BINS, BOUND = 5, (256, 256), 8, 4.0
BATCH, ROWS, LEARNING_RATE = 512, 16_384, 1e-3

OURS = "headwater"
MODULES = {
    "flowjax": "benchmarks.peers.flowjax_flows",
    "zuko": "benchmarks.peers.zuko_flows",
    "nflows": "benchmarks.peers.nflows_flows",
    "normflows": "benchmarks.peers.normflows_flows",
    OURS: "benchmarks.peers.ours",
}


class Task(NamedTuple):
    """A method of a flow, and for how many rows per call."""

    method: str
    rows: int
    unit: str = "rows/s"


TASKS = {
    "train": Task("train_step", BATCH, "steps/s"),
    "log_prob": Task("log_prob", BATCH),
    "sample-512": Task("sample", 512),
    "sample-4096": Task("sample", 4096),
    "joint-512": Task("sample_and_log_prob", 512),
}


class Flow(Protocol):
    """One flow of one library, with its optimizer and its data. Arrays are the library's own."""

    parameters: int
    network: str
    explain: Callable[[], tuple[int, int]] | None

    def train_step(self) -> Any:
        """One Adam step on the next minibatch."""

    def log_prob(self, x: Any) -> Any:
        """Of each row, without gradients."""

    def sample(self, n: int) -> Any:
        """New rows, without gradients."""

    def sample_and_log_prob(self, n: int) -> tuple[Any, Any]:
        """New rows and their log-densities, without gradients."""

    def rows(self) -> Any:
        """A batch to score."""

    def wait(self, result: Any) -> None:
        """Return when the result is there."""


class Library(Protocol):
    """What a module of :data:`MODULES` offers.

    Attributes:
        MODES: Ways to run a flow; the first is the plain one.
        TASKS_OF: The tasks that each mode makes a difference to.
        SHARED: Whether both precisions run the same code, so that the second needs no warming up.
    """

    MODES: tuple[str, ...]
    TASKS_OF: Mapping[str, tuple[str, ...]]
    SHARED: bool

    def versions(self) -> dict[str, str]:
        """Of the packages that count."""

    def precision(self, name: str) -> AbstractContextManager[object]:
        """``float32`` or ``bfloat16`` inside matrix products."""

    def build(self, work: str, features: int, mode: str) -> Flow:
        """A fresh flow."""

    def reduces(self) -> bool:
        """Whether ``bfloat16`` changes anything on this machine."""

    def graphs(self) -> int:
        """How many graphs were compiled so far: a call that adds none is warm."""

    def forget(self) -> None:
        """Drop what was compiled."""


def training_data(features: int) -> np.ndarray:
    """Correlated, close to standard normal: shape (16384, features), float32."""
    rng = np.random.default_rng(0)
    mixing = np.eye(features) + 0.3 * rng.normal(size=(features, features)) / np.sqrt(features)
    x = rng.normal(size=(ROWS, features)) @ mixing
    return (x / x.std(axis=0)).astype(np.float32)


def batch_order() -> np.ndarray:
    """Rows of each minibatch of one pass: shape (32, 512)."""
    return np.random.default_rng(1).permutation(ROWS).reshape(-1, BATCH)
