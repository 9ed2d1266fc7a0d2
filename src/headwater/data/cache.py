"""Decode once: arrays written into a cache folder and memory-mapped from there, published whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from headwater.errors import DataError, ResourceError

__all__ = ["CacheEntry", "cache_folder", "cached", "content_key", "release", "stamp"]

_LAYOUT = "3"
_STALE_SECONDS = 86_400


def cache_folder() -> Path:
    """Where decoded data goes: ``HEADWATER_CACHE``, else the XDG cache folder, else a temporary one.

    Raises:
        ResourceError: none of them can be written.
    """
    tried = []
    own = os.environ.get("HEADWATER_CACHE")
    uid = getattr(os, "getuid", lambda: 0)()
    candidates = [own] if own else [_user_cache(), str(Path(tempfile.gettempdir()) / f"headwater-{uid}")]
    for candidate in candidates:
        if not candidate:
            continue
        folder = Path(candidate)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if os.access(folder, os.W_OK):
                return folder
        except OSError:
            pass
        tried.append(str(folder))
    raise ResourceError(
        f"No folder for decoded data can be written (tried {', '.join(tried)}).",
        hint="Name one: export HEADWATER_CACHE=/path/with/space",
    )


def _user_cache() -> str | None:
    xdg = os.environ.get("XDG_CACHE_HOME")
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    if xdg:
        return str(Path(xdg) / "headwater")
    return str(Path(home) / ".cache" / "headwater") if home != "~" else None


def stamp(path: Path) -> tuple[str, int, int]:
    """What changes when a file does: its place, size and time of change.

    Raises:
        DataError: it is gone.
    """
    try:
        info = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.", hint="Put the file back, then resume.") from None
    return str(path.resolve()), info.st_size, info.st_mtime_ns


def content_key(stamps: Iterable[tuple[str, int, int]], settings: Any) -> str:
    """Name of a cache entry: a digest of the sources' stamps and of all that decides how they are read."""
    digest = hashlib.sha256(f"{_LAYOUT} {json.dumps(settings, sort_keys=True, default=str)}".encode())
    for item in stamps:
        digest.update(repr(item).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


class CacheEntry:
    """A folder of arrays and inert JSON that is being filled or has been."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.memmap[Any, Any]:
        """A new array on disk, to be filled in any order.

        Raises:
            ResourceError: the disk has no room for it.
        """
        needed = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ResourceError(
                f"{self.folder}: needs {needed} bytes for decoded data, {free} are free.",
                hint="Free some, or name another folder: export HEADWATER_CACHE=/path/with/space",
            )
        return np.lib.format.open_memmap(self.folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)

    def truncate(self, name: str, rows: int) -> None:
        """Keep only the first rows of an array that was made too long."""
        path = self.folder / f"{name}.npy"
        whole = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(whole) == rows:
            return
        short = np.lib.format.open_memmap(
            self.folder / "short.npy", mode="w+", dtype=whole.dtype, shape=(rows, *whole.shape[1:])
        )
        for start in range(0, rows, 65_536):
            short[start : start + 65_536] = whole[start : min(start + 65_536, rows)]
        short.flush()
        del whole, short
        (self.folder / "short.npy").replace(path)

    def load(self, name: str) -> np.ndarray | None:
        """An array, memory-mapped; None where the entry has none of this name."""
        path = self.folder / f"{name}.npy"
        return np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None

    def write(self, values: Any) -> None:
        """Describe the entry; what makes it complete."""
        (self.folder / "entry.json").write_text(json.dumps(values), encoding="utf-8")

    def read(self) -> Any:
        """The description."""
        return json.loads((self.folder / "entry.json").read_text(encoding="utf-8"))


def cached(key: str, fill: Callable[[CacheEntry], None]) -> CacheEntry:
    """The entry ``key``, filled in a temporary folder and renamed into place the first time.

    Raises:
        ResourceError: the disk is full or cannot be written.
    """
    root = cache_folder()
    final = root / key
    if (final / "entry.json").exists():
        return CacheEntry(final)
    _sweep(root)
    work = Path(tempfile.mkdtemp(prefix="filling-", dir=root))
    try:
        fill(CacheEntry(work))
        try:
            work.rename(final)
        except OSError:  # another process published the same content first
            if not (final / "entry.json").exists():
                raise
    except OSError as error:
        advice = "The disk is full. " if error.errno == errno.ENOSPC else ""
        raise ResourceError(
            f"{root}: cannot be written: {error.strerror or error}.",
            hint=f"{advice}Name another folder: export HEADWATER_CACHE=/path/with/space",
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return CacheEntry(final)


def release(array: np.ndarray) -> None:
    """Give the pages of a memory-mapped array back to the system; its content stays in the file."""
    mapped = getattr(array, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _sweep(root: Path) -> None:
    """Remove what killed processes left unfinished a day ago."""
    for leftover in root.glob("filling-*"):
        try:
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        except OSError:
            continue
