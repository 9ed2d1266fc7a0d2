"""Everything about a run that is not a tensor: what ``state.json`` holds and a resume starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Best", "TrainState"]


@dataclass(frozen=True)
class Best:
    """The best held-out value so far and its step."""

    step: int
    value: float


@dataclass
class TrainState:
    """Progress of a run; every field but ``seconds`` is a function of settings and data.

    Args:
        step: Optimizer steps done.
        total: Steps to do; None until minutes were turned into steps.
        because: Which budget gave ``total``.
        paced: Whether the minutes, if there are any, were turned into steps.
        attempt: Rollbacks so far.
        lr_factor: What they left of the learning rate.
        reference: Held-out value before the first step.
        best: The best held-out value.
        waits: Evaluations since then.
        stopped: Why the run ended, "" while it goes on.
        compiled: Whether the loss is compiled; None while undecided.
        sums: Sums of the figures since the last logged row.
        counted: Steps in ``sums``.
        seconds: Time taken, over all sessions.
    """

    step: int = 0
    total: int | None = None
    because: str = ""
    paced: bool = False
    attempt: int = 0
    lr_factor: float = 1.0
    reference: float | None = None
    best: Best | None = None
    waits: int = 0
    stopped: str = ""
    compiled: bool | None = None
    sums: dict[str, float] = field(default_factory=dict)
    counted: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain data; times under ``time``, so that two equal runs are equal apart from it."""
        values = dataclasses.asdict(self)
        return {**{key: value for key, value in values.items() if key != "seconds"}, "time": {"seconds": self.seconds}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainState:
        """The inverse of :meth:`to_json`; keys of other parts of ``state.json`` are passed over."""
        names = {item.name for item in dataclasses.fields(cls)}
        known = {key: value for key, value in values.items() if key in names}
        known["seconds"] = float(values["time"]["seconds"])
        known["best"] = Best(**values["best"]) if values.get("best") else None
        return cls(**known)

    def copy(self) -> TrainState:
        """An independent copy."""
        return dataclasses.replace(self, sums=dict(self.sums))
