"""What kind of data this is: by what it is in Python, by suffix, by the first bytes of a file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headwater.data.alignments.lines import read_lines
from headwater.data.archive import SafeZip, refuse_unsafe_kind, regular_file
from headwater.data.arrays import idx_files
from headwater.data.limits import Limits
from headwater.data.listing import EXTENSIONS
from headwater.data.tables.frames import is_frame
from headwater.errors import DataError

__all__ = ["detect_kind"]

_ARRAYS = {".npy", ".npz"}
_TABLES = {".csv", ".tsv", ".txt", ".data", ".test", ".parquet", ".pq", ".tab"}
_ALIGNMENTS = {".a2m", ".a3m", ".fasta", ".fa", ".fas", ".faa", ".afa", ".mfa", ".sto", ".stk", ".stockholm"}
_BEGINS = (b">", b"# STOCKHOLM")
_MAGIC = ((b"\x93NUMPY", "arrays"), (b"PAR1", "table"), (b"PK\x03\x04", "images"), (b"\0\0\x08", "arrays"))


def detect_kind(data: Any, limits: Limits) -> str:
    """``alignment``, ``arrays``, ``images`` or ``table``.

    Raises:
        UnsafeFileError: a pickle or the like.
        DataError: nothing there, or nothing that is known.
    """
    if is_frame(data):
        return "table"
    if _is_texts(data):
        return "alignment"
    if isinstance(data, np.ndarray | Mapping | tuple | list) or hasattr(data, "detach"):
        return "arrays"
    if not isinstance(data, str | Path):
        raise DataError(
            f"Data of type {type(data).__name__} is not known.", hint="Give a path, an array, a tensor or a data frame."
        )
    path = Path(data)
    refuse_unsafe_kind(path)
    if path.is_dir():
        return _folder(path)
    regular_file(path)
    suffix = path.suffix.lower()
    if (Path(path.stem).suffix.lower() if suffix == ".gz" else suffix) in _ALIGNMENTS:
        return "alignment"
    if suffix in _ARRAYS or "idx" in path.name.lower():
        return "arrays"
    if suffix in _TABLES:
        return "alignment" if suffix == ".txt" and _begins_as_alignment(path, limits) else "table"
    if suffix == ".zip":
        return _archive(path, limits)
    if suffix in EXTENSIONS:
        raise DataError(f"{path}: one picture is not a data set.", hint="Give a folder of pictures.")
    if _begins_as_alignment(path, limits):
        return "alignment"
    return _by_content(path)


def _is_texts(data: Any) -> bool:
    """Whether these are sequences: a mapping from names to texts, or a list or array of texts."""
    values = list(data.values())[:1] if isinstance(data, Mapping) else data[:1] if isinstance(data, list) else ()
    if isinstance(data, np.ndarray) and data.ndim == 1:
        return data.dtype.kind == "U" and len(data) > 0
    return len(values) > 0 and isinstance(values[0], str)


def _begins_as_alignment(path: Path, limits: Limits) -> bool:
    """Whether the first line, unpacked if need be, is one of FASTA or Stockholm."""
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"\x1f\x8b"):
        try:
            start = next((line for _, line in read_lines(path, limits) if line.strip()), b"")
        except DataError:
            return False
    return start.lstrip().startswith(_BEGINS)


def _folder(path: Path) -> str:
    if idx_files(path):
        return "arrays"
    tables = [p.name for p in sorted(path.iterdir()) if p.suffix.lower() in _TABLES | _ARRAYS]
    pictures = any(p.suffix.lower() in EXTENSIONS or p.is_dir() for p in path.iterdir())
    if tables and not pictures:
        raise DataError(
            f"{path}: a folder is read as pictures, this one holds {', '.join(tables[:5])}.", hint="Give one file."
        )
    return "images"


def _archive(path: Path, limits: Limits) -> str:
    names = [info.filename for info in SafeZip(path, limits).members]
    if names and all(name.endswith(".npy") for name in names):
        return "arrays"
    tables = [name for name in names if Path(name).suffix.lower() in _TABLES]
    if tables and not any(Path(name).suffix.lower() in EXTENSIONS for name in names):
        raise DataError(
            f"{path}: an archive is read as pictures, this one holds {tables[0]}.", hint="Unpack it, give one file."
        )
    return "images"


def _by_content(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(512)
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            if kind == "images" and not zipfile.is_zipfile(path):
                break
            return kind
    if start.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        refuse_unsafe_kind(path.with_suffix(".pkl"))
    if start[257:262] == b"ustar":
        refuse_unsafe_kind(path.with_suffix(".tar"))
    if start and b"\0" not in start:
        return "table"
    raise DataError(
        f"{path}: is no kind of data that is known (it starts with {start[:8]!r}).",
        hint="Known: .npy, .npz, idx, .csv, .parquet, .a2m, .fasta, .sto, a folder or .zip of pictures."
        " Or say: --set data.kind=table",
    )
