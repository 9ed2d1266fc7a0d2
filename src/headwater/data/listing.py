"""Finding picture files: folders walked without following links, archives by their checked members."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from headwater.data.archive import SafeZip
from headwater.data.limits import Limits
from headwater.errors import DataError
from headwater.progress import Progress

__all__ = ["EXTENSIONS", "Found", "Listing", "list_folder", "list_zip"]

EXTENSIONS = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"}
_SPLITS = {"train": "train", "training": "train", "valid": "valid", "val": "valid", "test": "test", "testing": "test"}
_FILE_BYTES = 512_000_000


@dataclass(frozen=True)
class Found:
    """A picture file: its place relative to the folder or archive, size, time of change and content."""

    name: str
    size: int
    changed: int
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Listing:
    """Pictures in a stable order, with what else was found."""

    files: tuple[Found, ...]
    others: Counter[str]
    refused: tuple[tuple[str, str], ...]

    def require(self, where: str) -> None:
        """Raise a DataError unless there are pictures."""
        if self.files:
            return
        found = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in self.others.most_common(5))
        raise DataError(
            f"{where}: holds no pictures (found: {found or 'nothing'}).",
            hint=f"Expected files of these types: {', '.join(sorted(EXTENSIONS))}.",
        )

    def splits(self) -> list[str]:
        """The split of each file where the top folders are train, valid, test; else nothing."""
        tops = [PurePosixPath(file.name).parts[0].lower() for file in self.files]
        names = set(tops)
        if len(names) > 1 and names <= set(_SPLITS) and "train" in {_SPLITS[n] for n in names}:
            return [_SPLITS[top] for top in tops]
        return []

    def folders(self, depth: int) -> list[str] | None:
        """The sub-folder at ``depth`` of each file; None unless every file lies in one."""
        parts = [PurePosixPath(file.name).parts for file in self.files]
        if any(len(p) <= depth + 1 for p in parts):
            return None
        return [p[depth] for p in parts]


def list_folder(folder: Path, limits: Limits, progress: Progress) -> Listing:
    """All pictures below a folder. Links are not followed; pipes and devices not opened.

    Raises:
        DataError: the folder cannot be read.
        UnsafeFileError: more files than accepted.
    """
    files: list[Found] = []
    others: Counter[str] = Counter()
    refused: list[tuple[str, str]] = []
    with progress.phase("Listing files", unit="files") as phase:
        for entry in _walk(folder):
            phase.advance()
            name = Path(entry.path).relative_to(folder).as_posix()
            if entry.is_symlink():
                refused.append((name, "is a symbolic link; links are not followed"))
            elif not entry.is_file(follow_symlinks=False):
                refused.append((name, "is a pipe, socket or device"))
            elif Path(entry.name).suffix.lower() not in EXTENSIONS or entry.name.startswith("."):
                others[Path(entry.name).suffix.lower()] += 1
            else:
                info = entry.stat(follow_symlinks=False)
                files.append(Found(name, info.st_size, info.st_mtime_ns, _file_reader(Path(entry.path))))
                limits.check("members", len(files), str(folder))
    files.sort(key=lambda file: file.name)
    return Listing(tuple(files), others, tuple(refused))


def _walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    stack = [folder]
    while stack:
        current = stack.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if not entry.name.startswith("."):
                            stack.append(Path(entry.path))
                    else:
                        yield entry
        except OSError as error:
            raise DataError(f"{current}: cannot be listed: {error.strerror}.") from None


def _file_reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            return file.read(_FILE_BYTES)

    return read


def list_zip(archive: SafeZip) -> Listing:
    """All pictures of a checked archive; read one at a time, from any thread."""
    from threading import Lock

    lock = Lock()
    files: list[Found] = []
    others: Counter[str] = Counter()
    common = _common_top([info.filename for info in archive.members])
    for info in archive.members:
        path = PurePosixPath(info.filename)
        if path.suffix.lower() not in EXTENSIONS or path.name.startswith(".") or "__MACOSX" in path.parts:
            others[path.suffix.lower()] += 1
            continue

        def read(info=info) -> bytes:  # type: ignore[no-untyped-def]  # noqa: ANN001 - binds the loop's value
            with lock:
                return archive.read(info, _FILE_BYTES)

        files.append(Found(info.filename.removeprefix(common), info.file_size, info.CRC, read))
    files.sort(key=lambda file: file.name)
    return Listing(tuple(files), others, ())


def _common_top(names: Sequence[str]) -> str:
    """The folder that everything lies in, as when a folder was packed whole."""
    tops = {name.split("/", 1)[0] for name in names if not name.startswith("__MACOSX")}
    if len(tops) == 1 and all("/" in name for name in names):
        return next(iter(tops)) + "/"
    return ""
