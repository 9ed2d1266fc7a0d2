"""Lines of a text file, plain or gzipped, one piece at a time: never more in memory than a line and a piece."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from headwater.data.archive import regular_file
from headwater.data.limits import Limits
from headwater.errors import DataError, UnsafeFileError

__all__ = ["read_lines"]

_CHUNK = 1 << 20
_FREE_BYTES = 64_000_000
_GZIP = b"\x1f\x8b"


def read_lines(path: Path, limits: Limits) -> Iterator[tuple[int, bytes]]:
    """Numbers (from 1) and contents of the lines, without their ends and a byte order mark.

    Raises:
        UnsafeFileError: a gzip file that unpacks to far more than it holds.
        DataError: not text, damaged, or a line without end.
    """
    rest: list[bytes] = []
    number = waiting = 0
    for chunk in _chunks(path, limits):
        if number == 0 and not rest:
            chunk = chunk.removeprefix(b"\xef\xbb\xbf")
        if b"\0" in chunk:
            raise DataError(
                f"{path}: holds binary data, expected a text with an alignment.",
                hint="Known: A2M, A3M, Stockholm and aligned FASTA, plain or gzipped, in UTF-8.",
            )
        *lines, last = chunk.replace(b"\r\n", b"\n").split(b"\n")
        for line in lines:
            number += 1
            yield number, b"".join([*rest, line]) if rest else line
            rest, waiting = [], 0
        rest.append(last)
        waiting += len(last)
        limits.check("elements", waiting, f"{path}: line {number + 1}")
    if waiting:
        yield number + 1, b"".join(rest).removesuffix(b"\r")


def _chunks(path: Path, limits: Limits) -> Iterator[bytes]:
    size = regular_file(path).stat().st_size
    total = 0
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            stream: BinaryIO = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
            while chunk := stream.read(_CHUNK):
                total += len(chunk)
                limits.check("bytes", total, str(path))
                if packed and total > _FREE_BYTES and total > limits.ratio * size:
                    raise UnsafeFileError(
                        f"{path}: unpacks to more than {limits.ratio:g} times its size.",
                        hint="Unpack it where you trust it, then give what is inside.",
                    )
                if chunk.endswith(b"\r"):  # keep the two halves of a line's end together
                    chunk += stream.read(1)
                yield chunk
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}.", hint="Is it complete?") from None
