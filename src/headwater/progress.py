"""Progress of long work: phases with a total and time left, notes and warnings; silent by default.

The command line puts a live display behind this protocol; libraries call it
and never print.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

__all__ = ["Phase", "Progress", "SilentProgress"]


@runtime_checkable
class Phase(Protocol):
    """A piece of work under way."""

    def advance(self, steps: int = 1, **figures: float | str) -> None:
        """``steps`` more units are done; ``figures`` are shown beside the bar."""

    def total(self, steps: int) -> None:
        """The total is now known, or known better."""


@runtime_checkable
class Progress(Protocol):
    """Whoever wants to know how far the work is."""

    def phase(self, title: str, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        """Begin a phase; leaving the context ends it."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def warn(self, text: str) -> None:
        """Something the user should act on or at least know."""


class _SilentPhase:
    def advance(self, steps: int = 1, **figures: float | str) -> None:
        """Nothing to show."""

    def total(self, steps: int) -> None:
        """Nothing to show."""


class SilentProgress:
    """Shows nothing; warnings are kept in ``warnings`` for whoever asks later."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def phase(self, title: str, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        return nullcontext(_SilentPhase())

    def note(self, text: str) -> None:
        """Nothing to show."""

    def warn(self, text: str) -> None:
        self.warnings.append(text)
