"""Names of runs: one folder name that is safe on every system, given by the user or made from data and model."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from headwater.errors import UsageError

__all__ = ["check_name", "default_name", "slug"]

_LONGEST = 100
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}


def check_name(name: str) -> str:
    """The name itself, if it can be a folder on every system.

    >>> check_name("moons-nsf-001")
    'moons-nsf-001'

    Raises:
        UsageError: separators, ``..``, leading dots, reserved names (``con``), more than 100
            characters or any other character than letters, digits, dot, dash and underscore;
            the hint offers a name that works.
    """
    reason = _reason(name)
    if reason:
        raise UsageError(
            f"{name[:_LONGEST]!r} cannot be the name of a run: {reason}.", hint=f"Use for example: {slug(name)}"
        )
    return name


def _reason(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > _LONGEST:
        return f"it has {len(name)} characters, at most {_LONGEST} are accepted"
    if name.split(".", 1)[0].lower() in _RESERVED:
        return "some systems reserve it"
    if not _NAME.fullmatch(name):
        return "it may hold letters, digits, '.', '-' and '_' and starts with a letter or digit"
    return "it ends with a dot" if name.endswith(".") else ""


def slug(text: str) -> str:
    """Any text made into a name that :func:`check_name` accepts.

    >>> slug("../../My Photos (été)")
    'My-Photos-ete'
    >>> slug("con")
    'run-con'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._]+", "-", plain).strip("-._")
    name = re.sub(r"\.\.+", ".", name)[: _LONGEST // 2].strip("-._")
    if not name:
        return "run"
    return f"run-{name}" if _reason(name) else name


def default_name(data: str | None, model: str, root: Path) -> str:
    """``DATA-MODEL-001``, counted up beyond every run of that stem in ``root``.

    >>> default_name("data/moons.csv", "nsf", Path("no-such-folder"))
    'moons-nsf-001'
    """
    stem = f"{slug(Path(data).stem) if data else 'data'}-{slug(model)}"
    pattern = re.compile(re.escape(stem) + r"-(\d{3,9})")
    taken = [pattern.fullmatch(entry.name) for entry in root.iterdir()] if root.is_dir() else []
    last = max((int(match[1]) for match in taken if match), default=0)
    return f"{stem}-{last + 1:03d}"
