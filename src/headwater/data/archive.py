"""Zip archives, never trusted and never unpacked to disk: names checked, sizes bounded, members streamed."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from headwater.data.limits import Limits
from headwater.errors import DataError, UnsafeFileError

__all__ = ["SafeZip", "refuse_unsafe_kind", "regular_file"]

_CODE = {".pt", ".pth", ".pt2", ".pkl", ".pickle", ".joblib", ".ckpt", ".bin", ".dill", ".h5", ".hdf5", ".mat"}
_TARS = {".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".7z", ".rar"}
_FREE_BYTES = 64_000_000
_CHUNK = 1 << 20


def refuse_unsafe_kind(path: Path) -> None:
    """Refuse formats that run code when read, and archives that are not accepted.

    Raises:
        UnsafeFileError: pickles in any dress.
        DataError: a tar or other archive.
    """
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    if suffixes & _TARS:
        raise DataError(
            f"{path}: {_archive_name(path)} is not accepted.",
            hint=f"Unpack it yourself into a folder, then give the folder: tar -xf {path.name} -C data/",
        )
    if path.suffix.lower() in _CODE:
        raise UnsafeFileError(
            f"{path}: files of type {path.suffix} can run code when they are read and are refused as data.",
            hint="Convert it where you trust it: numpy.savez('data.npz', x=array)",
        )


def _archive_name(path: Path) -> str:
    return {".7z": "7z", ".rar": "rar"}.get(path.suffix.lower(), "tar")


def regular_file(path: Path) -> Path:
    """The path itself, if it is a plain file that can be opened without hanging.

    Raises:
        DataError: missing, a device, a pipe or a socket.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: cannot be read: {reason}.", hint="Check the path.") from None
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: expected a file, got a device, pipe or socket.")
    return path


class SafeZip:
    """An archive whose every member has been checked by name and declared size before any is read.

    Args:
        path: The file.
        limits: Bounds on members, bytes and ratio.

    Raises:
        UnsafeFileError: names that leave the archive, links, duplicates, encrypted members, bombs.
        DataError: not a zip file.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits = path, limits
        regular_file(path)
        limits.check("members", _declared_members(path), str(path))
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise DataError(f"{path}: cannot be read as a zip file: {error}.") from None
        self.members = tuple(self._checked())

    def _checked(self) -> Iterator[zipfile.ZipInfo]:
        infos = self._zip.infolist()
        self.limits.check("members", len(infos), str(self.path))
        seen: set[str] = set()
        total = 0
        for info in infos:
            reason = _fault(info)
            if info.filename in seen:
                reason = "is there twice"
            if reason:
                raise UnsafeFileError(
                    f"{self.path}: member {info.orig_filename!r} {reason}.",
                    hint="Unpack it where you trust it, then give the folder.",
                )
            seen.add(info.filename)
            total += info.file_size
            self.limits.check("bytes", total, str(self.path))
            if info.file_size > _FREE_BYTES and info.file_size > self.limits.ratio * max(info.compress_size, 1):
                raise self._bomb(info)
            if not info.is_dir():
                yield info

    def _bomb(self, info: zipfile.ZipInfo) -> UnsafeFileError:
        return UnsafeFileError(
            f"{self.path}: member {info.filename!r} unpacks to more than {self.limits.ratio:g} times its size.",
            hint="Unpack it where you trust it, then give what is inside.",
        )

    def open(self, info: zipfile.ZipInfo) -> zipfile.ZipExtFile:
        """A stream of a member; zipfile stops it at the declared size and checks its sum.

        Raises:
            DataError: damaged, encrypted or packed by an unknown method.
        """
        try:
            stream = self._zip.open(info)
            assert isinstance(stream, zipfile.ZipExtFile)
            return stream
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
            raise DataError(f"{self.path}: member {info.filename!r} cannot be read: {error}.") from None

    def read(self, info: zipfile.ZipInfo, most: int) -> bytes:
        """A whole member of at most ``most`` bytes.

        Raises:
            DataError: larger, or damaged.
        """
        if info.file_size > most:
            raise DataError(f"{self.path}: member {info.filename!r} has {info.file_size} bytes, more than {most}.")
        try:
            with self.open(info) as stream:
                data = stream.read(most + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise DataError(f"{self.path}: member {info.filename!r} cannot be read: {error}.") from None
        if len(data) > most or len(data) != info.file_size:
            raise DataError(f"{self.path}: member {info.filename!r} is not of the size it declares.")
        return data

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def _fault(info: zipfile.ZipInfo) -> str:
    """Why a member is refused; empty if it is not."""
    raw = info.orig_filename
    name = info.filename
    mode = info.external_attr >> 16
    parts = PurePosixPath(name).parts
    if "\0" in raw or any(ord(c) < 32 for c in name):
        return "has control characters in its name"
    if "\\" in raw or (len(name) > 1 and name[1] == ":"):
        return "has a Windows path as its name"
    if name.startswith("/") or ".." in parts or not parts:
        return "points outside the archive"
    if stat.S_ISLNK(mode) or (stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)):
        return "is a link or device"
    if info.flag_bits & 1:
        return "is encrypted"
    return ""


def _declared_members(path: Path) -> int:
    """Number of members by the end record, before the directory is read into memory."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 65_557))
        tail = file.read()
        at = tail.rfind(b"PK\x05\x06")
        if at < 0 or len(tail) < at + 22:
            raise DataError(f"{path}: cannot be read as a zip file: it has no end record.", hint="Is it complete?")
        count, directory = struct.unpack_from("<H", tail, at + 10)[0], struct.unpack_from("<I", tail, at + 12)[0]
        locator = tail.rfind(b"PK\x06\x07", 0, at)
        if locator >= 0 and (count == 0xFFFF or directory == 0xFFFFFFFF):
            file.seek(min(struct.unpack_from("<Q", tail, locator + 8)[0], size))
            record = file.read(56)
            if record[:4] == b"PK\x06\x06" and len(record) == 56:
                count, directory = struct.unpack_from("<Q", record, 32)[0], struct.unpack_from("<Q", record, 40)[0]
    return max(count, min(directory, size) // 4_096)  # a directory entry takes a few hundred bytes at most
