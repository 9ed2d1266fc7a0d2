"""Figures of the training steps, summed on the device and read once per interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from headwater.runs.folder import RunFolder

__all__ = ["Averages", "MetricsLog"]


class Averages:
    """Running sums of named scalars; :meth:`sums` and :meth:`read` are the only host synchronizations."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sum: Tensor | None = None
        self.counted = 0

    def add(self, names: Sequence[str], values: Tensor) -> None:
        """Add one step's figures, always the same names."""
        self._names = tuple(names)
        self._sum = values if self._sum is None else self._sum.to(values) + values
        self.counted += 1

    def sums(self) -> dict[str, float]:
        """The sums, exact."""
        return {} if self._sum is None else dict(zip(self._names, self._sum.tolist(), strict=True))

    def read(self) -> dict[str, float]:
        """The means since the last reading; counting starts anew."""
        means = {name: value / self.counted for name, value in self.sums().items()}
        self.restore({}, 0)
        return means

    def restore(self, sums: Mapping[str, float], counted: int) -> None:
        """Go on from saved sums."""
        self._names, self.counted = tuple(sums), counted
        self._sum = torch.tensor(list(sums.values()), dtype=torch.float64) if sums else None


class MetricsLog:
    """Rows for ``metrics.jsonl``; only the process that writes keeps them on disk.

    A row holds its ``step`` and ``kind`` (``train``, ``valid``); an event its ``event`` and ``step``.
    What depends on the clock is under ``time``, so that two equal runs are equal apart from it.
    """

    def __init__(self, folder: RunFolder, *, writes: bool) -> None:
        self._folder, self._writes = folder, writes
        self.last: dict[str, Any] = {}

    def row(self, kind: str, step: int, seconds: float, figures: Mapping[str, float]) -> None:
        """Add figures."""
        if kind == "train":
            self.last = {"step": step, **figures}
        if self._writes:
            time = {"seconds": round(seconds, 3)}
            self._folder.append_metrics({"step": step, "kind": kind, **figures, "time": time})

    def event(self, event: str, step: int, seconds: float, **details: Any) -> None:
        """Add something that happened."""
        if self._writes:
            self._folder.append_event(event, step=step, **details, time={"seconds": round(seconds, 3)})

    def cut(self, step: int) -> None:
        """Drop what was logged after a step that training goes back to."""
        if self._writes:
            self._folder.truncate_metrics(step)
