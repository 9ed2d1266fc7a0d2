"""Durable small files: written beside, synced, then renamed into place; read with bounds; errors that name the path."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headwater.errors import CheckpointError, ResourceError, UsageError
from headwater.runs.failpoints import failpoint

__all__ = [
    "NO_SPACE",
    "from_plain",
    "human_bytes",
    "json_bytes",
    "parse_json",
    "read_json",
    "refuse_existing",
    "reporting",
    "sync_folder",
    "to_plain",
    "write_atomic",
    "write_json",
    "write_new",
]

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_MAX_JSON_BYTES = 32 * 2**20
_COUNTER = itertools.count()
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_HINTS = {
    errno.EROFS: "Choose a place that can be written to with --out.",
    errno.EACCES: "Choose a place that can be written to with --out, or change its permissions.",
    errno.EPERM: "Choose a place that can be written to with --out, or change its permissions.",
    errno.ENOENT: "The folder was moved or deleted while it was in use; put it back, or start a new run.",
    errno.ENOTDIR: "A part of this path is a file; choose another place with --out.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EMFILE: "Raise the limit of open files: ulimit -n 4096",
}


def refuse_existing(path: Path, *, exist_ok: bool) -> None:
    """Say so where a file that is to be written is there already.

    Raises:
        UsageError: it is, and ``exist_ok`` is false.
    """
    if path.exists() and not exist_ok:
        raise UsageError(f"{path} exists already.", hint="Choose another --out, or replace it with --exist-ok.")


@contextmanager
def reporting(path: Path, doing: str, *, needed: int = 0) -> Iterator[None]:
    """Turn an ``OSError`` into a ResourceError that names the path and, for a full disk, bytes needed and free."""
    try:
        yield
    except OSError as error:
        raise _resource_error(error, path, doing, needed) from error


def _resource_error(error: OSError, path: Path, doing: str, needed: int) -> ResourceError:
    reason = error.strerror or str(error)
    if error.errno not in NO_SPACE:
        return ResourceError(f"{doing} {path} failed: {reason}.", hint=_HINTS.get(error.errno or 0, ""))
    free = _free_bytes(path)
    sizes = f"{needed} bytes ({human_bytes(needed)}) are needed" if needed else "more bytes are needed"
    return ResourceError(
        f"{doing} {path} failed: {reason}; {sizes}, {free} bytes ({human_bytes(free)}) are free.",
        hint="Free some disk space or lower training.keep, then resume; the last complete checkpoint is intact.",
    )


def _free_bytes(path: Path) -> int:
    existing = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
    return shutil.disk_usage(existing).free


def human_bytes(size: int) -> str:
    """A size to read.

    >>> human_bytes(1536)
    '1.5 KiB'
    """
    if size < 1024:
        return f"{size} bytes"
    power = min((size.bit_length() - 1) // 10, 4)
    return f"{size / 1024**power:.1f} {'KMGT'[power - 1]}iB"


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, data: bytes, *, before_replace: str = "") -> None:
    """Replace ``path`` as a whole or not at all; a new file gets the permissions that the umask gives.

    Raises:
        ResourceError: the system refused; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}-{next(_COUNTER)}")
    with reporting(path, "Writing", needed=len(data)):
        try:
            write_new(temporary, data)
            if before_replace:
                failpoint(before_replace)
            temporary.replace(path)
        finally:
            # A renamed temporary is gone already; one that cannot be removed is a writer's leftover.
            if path.parent.is_dir():
                temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def write_new(path: Path, data: bytes) -> None:
    """Write a file that does not exist yet, synced; an ``OSError`` passes as it is."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a mapping as JSON, atomically; non-finite numbers become ``"NaN"``, ``"Infinity"``, ``"-Infinity"``."""
    write_atomic(path, json_bytes(value))


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """A mapping as JSON text; see :func:`write_json`."""
    return json.dumps(to_plain(value), indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def read_json(path: Path, *, limit: int = _MAX_JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object, bounded in size and depth, without repeated keys.

    Raises:
        CheckpointError: missing, too large, too deep, damaged, or not an object.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise CheckpointError(f"{path}: at most {limit} bytes are accepted, it has {size}.")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
    return parse_json(data, path)


def parse_json(data: bytes, path: Path) -> dict[str, Any]:
    """Parse a JSON object strictly: UTF-8, no repeated keys, no NaN, bounded depth.

    Raises:
        CheckpointError: it is not that.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise CheckpointError(f"{path} is nested too deep.") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}.") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} should hold a JSON object, it holds a {type(value).__name__}.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def to_plain(value: Any) -> Any:
    """Plain JSON data: mappings, lists and scalars; non-finite numbers become their names."""
    match value:
        case bool() | int() | str() | None:
            return value
        case float():
            return value if math.isfinite(value) else next(k for k, v in _NON_FINITE.items() if str(v) == str(value))
        case Mapping():
            return {str(key): to_plain(item) for key, item in value.items()}
        case list() | tuple():
            return [to_plain(item) for item in value]
        case Path():
            return str(value)
        case _ if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            return to_plain(value.item())
        case _:
            raise TypeError(f"no JSON form for {type(value).__name__}")


def from_plain(value: Any) -> Any:
    """The inverse of :func:`to_plain` for the names of non-finite numbers."""
    match value:
        case str():
            return _NON_FINITE.get(value, value)
        case dict():
            return {key: from_plain(item) for key, item in value.items()}
        case list():
            return [from_plain(item) for item in value]
        case _:
            return value
