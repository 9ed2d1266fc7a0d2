"""From blocks of calls to rates, from rates to the fastest peer, from those to a table. Plain arithmetic."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.peers.shared import OURS, TASKS

__all__ = ["Entry", "Ratio", "fastest", "ratios", "table"]


@dataclass
class Entry:
    """One library, mode and precision at one task of one work: what was measured, or why nothing was.

    Args:
        first: Seconds of the first call, compiling included; None where the other precision's was it.
        warming: Seconds until a call compiled nothing any more.
        blocks: (calls, seconds) of each round.
        failure: Why there is no result.
    """

    work: str
    features: int
    task: str
    library: str
    mode: str
    precision: str
    first: float | None = None
    warming: float | None = None
    blocks: list[tuple[int, float]] = field(default_factory=list)
    failure: str | None = None

    @property
    def call(self) -> float:
        """Seconds of a call, median over rounds; infinite where there is no result."""
        return statistics.median(seconds / calls for calls, seconds in self.blocks) if self.blocks else math.inf

    @property
    def rate(self) -> float:
        """Steps or rows per second, median over rounds; zero where there is no result."""
        per_call = 1 if self.task == "train" else TASKS[self.task].rows
        if not self.blocks:
            return 0.0
        return statistics.median(per_call * calls / seconds for calls, seconds in self.blocks)

    def record(self) -> dict[str, Any]:
        """For the result file."""
        figures = {key: value for key, value in asdict(self).items() if value is not None and key != "blocks"}
        for key in ("first", "warming"):
            if key in figures:
                figures[key] = round(figures[key], 4)
        if self.blocks:
            figures |= {"rate": _short(self.rate), "unit": TASKS[self.task].unit, "rounds": len(self.blocks)}
            figures["calls"] = sum(calls for calls, _ in self.blocks)
        return figures


@dataclass
class Ratio:
    """Us against the fastest peer at one task of one work; None where a side has no result.

    Args:
        ours: Our best in float32.
        ours_reduced: Our best with bfloat16 inside products.
        peer: The fastest peer in float32.
        any_peer: The fastest peer in any precision.
    """

    work: str
    features: int
    task: str
    ours: Entry | None
    ours_reduced: Entry | None
    peer: Entry | None
    any_peer: Entry | None

    @property
    def float32(self) -> float | None:
        """Ours over the fastest peer, both in float32."""
        return _over(self.ours, self.peer)

    @property
    def against_any(self) -> float | None:
        """Ours in float32 over the fastest peer in any precision."""
        return _over(self.ours, self.any_peer)

    @property
    def reduced(self) -> float | None:
        """Ours with reduced products over the fastest peer in any precision."""
        return _over(self.ours_reduced, self.any_peer)

    def record(self) -> dict[str, Any]:
        """For the result file."""
        sides = {name: getattr(self, name) for name in ("ours", "ours_reduced", "peer", "any_peer")}
        return {
            "work": self.work,
            "features": self.features,
            "task": self.task,
            **{name: None if side is None else f"{_name(side)} {_short(side.rate)}" for name, side in sides.items()},
            **{name: _rounded(getattr(self, name)) for name in ("float32", "against_any", "reduced")},
        }


def fastest(entries: Iterable[Entry]) -> Entry | None:
    """The one of the highest rate among those with a result."""
    return max((entry for entry in entries if entry.blocks), key=lambda entry: entry.rate, default=None)


def ratios(entries: Sequence[Entry]) -> list[Ratio]:
    """One per task, number of features and work, in the order in which they come."""
    groups: dict[tuple[str, int, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.work, entry.features, entry.task), []).append(entry)
    return [
        Ratio(
            *key,
            ours=fastest(e for e in group if e.library == OURS and e.precision == "float32"),
            ours_reduced=fastest(e for e in group if e.library == OURS and e.precision == "bfloat16"),
            peer=fastest(e for e in group if e.library != OURS and e.precision == "float32"),
            any_peer=fastest(e for e in group if e.library != OURS),
        )
        for key, group in groups.items()
    ]


def table(rows: Sequence[Ratio]) -> str:
    """Markdown: rates, and ours over the fastest peer's three ways."""
    lines = [
        "| work | features | task | ours, float32 | ours, bfloat16 | fastest peer, float32 | fastest peer, any"
        " | ours / peer, float32 | ours float32 / any peer | ours bfloat16 / any peer |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        sides = [_cell(side) for side in (row.ours, row.ours_reduced, row.peer, row.any_peer)]
        quotients = [_times(value) for value in (row.float32, row.against_any, row.reduced)]
        task = f"{row.task} ({TASKS[row.task].unit})"
        lines.append("| " + " | ".join([row.work, str(row.features), task, *sides, *quotients]) + " |")
    return "\n".join(lines)


def _over(one: Entry | None, other: Entry | None) -> float | None:
    return None if one is None or other is None else one.rate / other.rate


def _name(entry: Entry) -> str:
    return f"{entry.library} {entry.mode} {entry.precision}"


def _cell(entry: Entry | None) -> str:
    if entry is None:
        return "-"
    name = entry.mode if entry.library == OURS else f"{entry.library} {entry.mode}"
    return f"{_short(entry.rate):,g} ({name}{'' if entry.library == OURS else ' ' + entry.precision})"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{_short(value):g}x"


def _short(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def _rounded(value: float | None) -> float | None:
    return None if value is None else _short(value)
