"""Every error a user can meet: one class per remedy, one exit code and one HTTP status each.

A message has three parts: what was expected, what came, and what to type next.
Code outside this package's internals raises nothing else for a user's mistake;
invariants of our own are plain ``assert``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DivergenceError",
    "HeadwaterError",
    "InterruptedRunError",
    "MissingExtraError",
    "ResourceError",
    "UnsafeFileError",
    "UnsupportedEventError",
    "UsageError",
    "did_you_mean",
]


class HeadwaterError(Exception):
    """Base of all errors that are the user's to mend, never raised itself.

    Args:
        message: What was expected and what came.
        hint: What to type or do next; printed on its own line.
    """

    exit_code: int = 1
    http_status: int = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(HeadwaterError, ValueError):
    """A command, an argument or a name that does not exist or does not fit (exit 2)."""

    exit_code = 2
    http_status = 422


class ConfigError(UsageError):
    """A configuration key or value that is not accepted (exit 2)."""


class UnsupportedEventError(UsageError):
    """A model is asked for a kind of data it is not made for; the hint names one that is (exit 2)."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed; the hint names the extra (exit 2)."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed.",
            hint=f"Install it with: pip install 'headwater[{extra}]'",
        )


class DataError(HeadwaterError, ValueError):
    """Data that cannot be read, is not what it claims, or breaks a limit (exit 3)."""

    exit_code = 3
    http_status = 422


class UnsafeFileError(DataError):
    """A file whose format can execute code or exhaust memory: refused, never opened (exit 3)."""


class CheckpointError(DataError):
    """A run folder or checkpoint that is damaged, foreign or does not fit the model (exit 3)."""


class DivergenceError(HeadwaterError, ArithmeticError):
    """Training or sampling produced non-finite numbers beyond the policy's patience (exit 4)."""

    exit_code = 4
    http_status = 500


class ResourceError(HeadwaterError):
    """Disk, memory, device or lock: the machine cannot do it (exit 5)."""

    exit_code = 5
    http_status = 503


class BusyError(ResourceError):
    """Another living process holds what is to be written (exit 5)."""


class InterruptedRunError(HeadwaterError):
    """Stopped on request with everything saved; the hint holds the command that resumes (exit 130)."""

    exit_code = 130
    http_status = 503


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that offers the nearest known names, or lists them all when few.

    >>> did_you_mean("optimiser", ["optimizer", "epochs"])
    "Did you mean 'optimizer'?"
    >>> did_you_mean("zzz", ["a", "b"])
    "Known: 'a', 'b'."
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(repr(name) for name in near)}?"
    if 0 < len(names) <= 20:
        return f"Known: {', '.join(repr(name) for name in names)}."
    return ""
