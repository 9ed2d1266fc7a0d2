"""Progress for people: bars with time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from headwater.progress import Phase, Progress

__all__ = ["display", "say"]

_SECONDS_BETWEEN_LINES: Final = 5.0
_WORTH_A_LINE: Final = 0.5  # seconds that a phase takes before its end is worth a line


def say(text: str = "") -> None:
    """One line of a command's result on standard output."""
    sys.stdout.write(text + "\n")


def display(*, quiet: bool = False) -> Progress:
    """Bars on a terminal that can draw them, plain lines otherwise; on standard error, so results stay pipeable."""
    console = Console(stderr=True, highlight=False)
    if quiet:
        return PlainProgress(console, seconds=float("inf"), phases=False)
    return BarProgress(console) if console.is_terminal and not console.is_dumb_terminal else PlainProgress(console)


def _figures(figures: dict[str, float | str]) -> str:
    return "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in figures.items())


class _Lines:
    """A phase as lines: one every few seconds, one at the end."""

    def __init__(self, console: Console, title: str, total: int | None, unit: str, seconds: float) -> None:
        self.console, self.title, self.count, self.unit, self.seconds = console, title, total, unit, seconds
        self.done = 0
        self.told = -1
        self.began = self.spoke = time.monotonic()
        self.figures: dict[str, float | str] = {}

    def advance(self, steps: int = 1, **figures: float | str) -> None:
        self.done += steps
        self.figures.update(figures)
        if time.monotonic() - self.spoke >= self.seconds:
            self.speak()

    def total(self, steps: int) -> None:
        self.count = steps

    def speak(self) -> None:
        """Print where the phase is."""
        self.spoke, self.told = time.monotonic(), self.done
        spent = self.spoke - self.began
        of = f"{self.done}/{self.count}" if self.count else f"{self.done}"
        left = f", {spent * (self.count - self.done) / self.done:.0f} s left" if self.count and self.done else ""
        line = f"{self.title}: {of} {self.unit} in {spent:.0f} s{left}  {_figures(self.figures)}"
        self.console.print(line.rstrip(), markup=False, soft_wrap=True)


class PlainProgress:
    """Progress as lines, for logs, pipes and dumb terminals."""

    def __init__(self, console: Console, *, seconds: float = _SECONDS_BETWEEN_LINES, phases: bool = True) -> None:
        self.console, self.seconds, self.phases = console, seconds, phases

    @contextmanager
    def _phase(self, title: str, total: int | None, unit: str) -> Iterator[Phase]:
        lines = _Lines(self.console, title, total, unit, self.seconds)
        yield lines
        if self.phases and lines.told != lines.done and time.monotonic() - lines.began > _WORTH_A_LINE:
            lines.speak()

    def phase(self, title: str, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        return self._phase(title, total, unit)

    def note(self, text: str) -> None:
        if self.phases:
            self.console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        self.console.print(f"warning: {text}", markup=False, soft_wrap=True)


class _Bar:
    """A phase as a bar."""

    def __init__(self, bars: Bars, task: TaskID) -> None:
        self.bars, self.task = bars, task
        self.figures: dict[str, float | str] = {}

    def advance(self, steps: int = 1, **figures: float | str) -> None:
        self.figures.update(figures)
        self.bars.update(self.task, advance=steps, figures=_figures(self.figures))

    def total(self, steps: int) -> None:
        self.bars.update(self.task, total=steps)


class BarProgress:
    """Progress as a live bar."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live: Bars | None = None

    @contextmanager
    def _phase(self, title: str, total: int | None, unit: str) -> Iterator[Phase]:
        if self.live is not None:  # a phase within a phase shares the display
            task = self.live.add_task(title, total=total, figures="")
            yield _Bar(self.live, task)
            self.live.remove_task(task)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
        )
        with Bars(*columns, console=self.console, refresh_per_second=8) as bars:
            self.live = bars
            try:
                yield _Bar(bars, bars.add_task(title, total=total, figures=""))
            finally:
                self.live = None

    def phase(self, title: str, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        return self._phase(title, total, unit)

    def note(self, text: str) -> None:
        (self.live.console if self.live else self.console).print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        console = self.live.console if self.live else self.console
        console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)
