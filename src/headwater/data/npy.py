"""Numpy's formats and idx files without pickles: header first, sizes checked against the file, then streamed."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headwater.data.archive import SafeZip, regular_file
from headwater.data.limits import Limits
from headwater.errors import DataError, UnsafeFileError

__all__ = ["Stored", "map_npy", "stored_idx", "stored_npz"]

_CHUNK = 8 << 20
_IDX = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


@dataclass(frozen=True)
class Stored:
    """An array that has not been read: its shape, dtype, and how to stream its rows into a given array."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    read_into: Callable[[np.ndarray], None]

    def load(self) -> np.ndarray:
        """The array in memory."""
        whole = np.empty(self.shape, dtype=self.dtype.newbyteorder("="))
        self.read_into(whole)
        return whole


def _header(stream: io.BufferedIOBase, where: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, EOFError, SyntaxError, OSError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{where}: cannot be read as a numpy array: {error}.") from None
    if dtype.hasobject:
        raise UnsafeFileError(
            f"{where}: holds Python objects, which run code when they are read; refused.",
            hint="Save numbers: numpy.save(path, array.astype('float32'))",
        )
    if dtype.kind not in "biufUSM" or any(n < 0 for n in shape):
        raise DataError(f"{where}: expected an array of numbers, got {dtype} of shape {shape}.")
    return shape, fortran, dtype


def map_npy(path: Path, limits: Limits) -> np.ndarray:
    """A ``.npy`` file, memory-mapped.

    Raises:
        UnsafeFileError: it holds Python objects.
        DataError: damaged, or not of the size its header declares.
    """
    with regular_file(path).open("rb") as stream:
        shape, _, dtype = _header(stream, str(path))
        needed = stream.tell() + math.prod(shape) * dtype.itemsize
    size = path.stat().st_size
    if needed != size:
        raise DataError(f"{path}: declares {needed} bytes, has {size}.", hint="Is the file complete?")
    limits.check("bytes", size, str(path))
    if 0 in shape:
        raise DataError(f"{path}: holds no values, its shape is {shape}.")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def stored_npz(path: Path, limits: Limits) -> list[Stored]:
    """The arrays of an ``.npz``, unread.

    Raises:
        UnsafeFileError: a member holds Python objects, or the archive is unsafe.
        DataError: damaged, or a member is not of the size its header declares.
    """
    archive = SafeZip(path, limits)
    found = []
    for info in archive.members:
        where = f"{path}[{info.filename.removesuffix('.npy')}]"
        if not info.filename.endswith(".npy"):
            raise DataError(f"{path}: member {info.filename!r} is no array.", hint="Give a file made by numpy.savez.")
        with archive.open(info) as stream:
            shape, fortran, dtype = _header(stream, where)
            start = stream.tell()
        if start + math.prod(shape) * dtype.itemsize != info.file_size:
            raise DataError(f"{where}: its header does not fit its {info.file_size} bytes.")
        read = _npz_reader(archive, info, start, fortran, dtype, where)
        found.append(Stored(info.filename.removesuffix(".npy"), shape, dtype, read))
    return found


def _npz_reader(
    archive: SafeZip, info: zipfile.ZipInfo, start: int, fortran: bool, dtype: np.dtype[np.generic], where: str
) -> Callable[[np.ndarray], None]:
    def read(target: np.ndarray) -> None:
        with archive.open(info) as stream:
            stream.read(start)
            _fill(stream, target, fortran, dtype, where)

    return read


def _fill(
    stream: io.BufferedIOBase, target: np.ndarray, fortran: bool, dtype: np.dtype[np.generic], where: str
) -> None:
    """Stream rows into ``target`` in pieces; a column-major array is read whole first."""
    count = len(target) if target.ndim else 1
    row = int(np.prod(target.shape[1:])) * dtype.itemsize if target.ndim else dtype.itemsize
    step = count if fortran or target.ndim == 0 else max(1, _CHUNK // max(row, 1))
    for first in range(0, count, max(step, 1)):
        rows = min(step, count - first)
        try:
            data = stream.read(rows * row)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise DataError(f"{where}: cannot be read: {error}.") from None
        if len(data) != rows * row:
            raise DataError(f"{where}: ends before its {count} rows do.")
        piece = np.frombuffer(data, dtype=dtype)
        if target.ndim == 0:
            target[...] = piece[0]
        elif fortran:
            target[...] = piece.reshape(target.shape[::-1]).T
        else:
            target[first : first + rows] = piece.reshape(rows, *target.shape[1:])


def stored_idx(path: Path, limits: Limits) -> Stored:
    """An ``idx`` file of the MNIST family, gzipped or not, unread.

    Raises:
        DataError: no such format, or not of the size its header declares.
    """
    with _open_idx(path) as stream:
        try:
            head = stream.read(4)
            kind, dims = (head[2], head[3]) if len(head) == 4 and head[:2] == b"\0\0" else (0, 0)
            if kind not in _IDX or not 1 <= dims <= 5:
                raise DataError(f"{path}: cannot be read as an idx file: its first bytes are {head!r}.")
            shape = struct.unpack(f">{dims}I", stream.read(4 * dims))
        except (struct.error, EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path}: cannot be read as an idx file: {error}.") from None
    dtype: np.dtype[np.generic] = np.dtype(_IDX[kind])
    declared = math.prod(shape) * dtype.itemsize
    limits.check("bytes", declared, str(path))
    packed = path.stat().st_size
    if path.suffix != ".gz" and declared + 4 + 4 * dims != packed:
        raise DataError(f"{path}: declares {declared} bytes of values, has {packed - 4 - 4 * dims}.")
    if path.suffix == ".gz" and declared > 1_032 * packed + 1_024:  # deflate packs no tighter
        raise UnsafeFileError(f"{path}: declares {declared} bytes, more than {packed} packed bytes can hold.")

    def read(target: np.ndarray) -> None:
        with _open_idx(path) as again:
            again.read(4 + 4 * dims)
            _fill(again, target, False, dtype, str(path))

    return Stored(path.name, tuple(shape), dtype, read)


def _open_idx(path: Path) -> io.BufferedIOBase:
    regular_file(path)
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.GzipFile(path))
    return path.open("rb")
