"""A progress display that also keeps the warnings, for the result of training."""

from __future__ import annotations

from contextlib import AbstractContextManager

from headwater.progress import Phase, Progress, SilentProgress

__all__ = ["Recorder"]


class Recorder:
    """Passes everything on to ``progress``.

    >>> recorder = Recorder(None)
    >>> recorder.warn("hot")
    >>> recorder.warnings
    ['hot']
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress: Progress = progress or SilentProgress()
        self.warnings: list[str] = []

    def phase(self, title: str, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        return self._progress.phase(title, total=total, unit=unit)

    def note(self, text: str) -> None:
        """Pass on."""
        self._progress.note(text)

    def warn(self, text: str) -> None:
        """Keep and pass on."""
        self.warnings.append(text)
        self._progress.warn(text)
