"""The log of a run: one JSON object per line, appended whole, so that a kill costs at most the last line."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.errors import CheckpointError
from headwater.runs.files import from_plain, reporting, to_plain, write_atomic

__all__ = ["append", "read", "truncate"]


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add one line in one write; a torn last line, left by a kill or a full disk, is cut off first.

    Raises:
        ResourceError: the system refused; names the path.
    """
    line = json.dumps(to_plain(row), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    with reporting(path, "Writing", needed=len(line)):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            end = _whole_end(descriptor)
            written = os.pwrite(descriptor, line, end)
            if written < len(line):
                # The rest did not fit: the second write raises the system's own error.
                os.pwrite(descriptor, line[written:], end + written)
        finally:
            os.close(descriptor)


def _whole_end(descriptor: int) -> int:
    """The end of the last complete line; what follows it is cut off."""
    size = end = os.fstat(descriptor).st_size
    while end:
        start = max(end - 4096, 0)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return end


def read(path: Path) -> list[dict[str, Any]]:
    """All complete rows, oldest first; a file that does not exist has none, a torn last line is left out.

    Raises:
        CheckpointError: a line within the file is not a JSON object; names it.
    """
    if not path.exists():
        return []
    with reporting(path, "Reading"):
        lines = path.read_bytes().split(b"\n")[:-1]
    return [_row(line, number, path) for number, line in enumerate(lines, 1)]


def _row(line: bytes, number: int, path: Path) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise CheckpointError(
            f"{path}, line {number} is not a JSON object.",
            hint="Delete that line; only the log is affected, the checkpoints are not.",
        )
    return from_plain(row)


def truncate(path: Path, step: int) -> int:
    """Drop the rows after ``step``; returns how many. Events stay: they are history, not results.

    Raises:
        ResourceError: the system refused; the old log is untouched.
    """
    rows = read(path)
    kept = [row for row in rows if "event" in row or not row.get("step", 0) > step]
    if len(kept) < len(rows):
        text = "".join(json.dumps(to_plain(row), ensure_ascii=False, allow_nan=False) + "\n" for row in kept)
        write_atomic(path, text.encode())
    return len(rows) - len(kept)
