"""Where notes and warnings go when nobody passed a progress display: Python's own warnings."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager

from headwater.progress import Phase, SilentProgress

__all__ = ["PythonWarnings"]


class PythonWarnings:
    """Progress that shows nothing but turns warnings into Python warnings, so that none is lost."""

    def __init__(self) -> None:
        self._silent = SilentProgress()

    def phase(self, title: str, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        return self._silent.phase(title, total=total, unit=unit)

    def note(self, text: str) -> None:
        """Nothing to show."""

    def warn(self, text: str) -> None:
        warnings.warn(text, UserWarning, stacklevel=3)
