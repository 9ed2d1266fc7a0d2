"""The header of a safetensors file, checked before a byte is allocated for what it promises.

The format: 8 bytes ``n`` (little endian), ``n`` bytes of JSON, then the data. Each
entry ``{"dtype", "shape", "data_offsets": [begin, end]}`` must span exactly
``prod(shape) * itemsize`` bytes; spans must tile the data without gap or overlap.

Reference: safetensors format (Hugging Face, 2022), https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
import stat
from pathlib import Path
from typing import Any, NamedTuple

from headwater.errors import CheckpointError, UnsafeFileError
from headwater.runs.files import human_bytes, parse_json

__all__ = ["ITEM_SIZES", "Span", "read_header", "refuse_unsafe"]

ITEM_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

_MAX_HEADER = 8 * 2**20
_MAX_TENSORS = 50_000
_MAX_DIMENSIONS = 16
_UNSAFE = {
    ".pt": "a pickle, which can run code",
    ".pth": "a pickle, which can run code",
    ".bin": "a pickle, which can run code",
    ".ckpt": "a pickle, which can run code",
    ".pkl": "a pickle, which can run code",
    ".pickle": "a pickle, which can run code",
    ".joblib": "a pickle, which can run code",
    ".distcp": "part of a distributed checkpoint, which holds pickles",
    ".pt2": "an exported program, which can run code",
    ".npz": "an archive, which can hold pickles",
    ".npy": "an array, which can hold pickles",
    ".h5": "an HDF5 file, which can name code to run",
    ".keras": "an archive that can name code to run",
    ".zip": "an archive",
    ".tar": "an archive",
}
_MAGIC = {
    b"PK\x03\x04": "a zip archive (a .pt or .npz file under another name)",
    b"\x80": "a pickle",
    b"\x93NUMPY": "a NumPy array, which can hold pickles",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
}
_CONVERT = (
    'Convert it where you trust it: python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('weights.pt', weights_only=True), 'weights.safetensors')\""
)


class Span(NamedTuple):
    """Where a tensor lies in the data and what it is."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def refuse_unsafe(path: Path) -> None:
    """Refuse by its type, without opening it, whatever is not a regular safetensors file.

    Raises:
        UnsafeFileError: a pickle, an archive, a folder, a device; the hint says how to convert.
        CheckpointError: there is no such file.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
    if stat.S_ISDIR(mode):
        raise UnsafeFileError(f"{path} is a folder (a distributed checkpoint holds pickles).", hint=_CONVERT)
    if not stat.S_ISREG(mode):
        raise UnsafeFileError(f"{path} is not a regular file.")
    kind = _UNSAFE.get(path.suffix.lower())
    if kind or path.suffix.lower() != ".safetensors":
        raise UnsafeFileError(
            f"{path.name}: weights are read from .safetensors, this is {kind or 'not'}.", hint=_CONVERT
        )


def read_header(path: Path, *, limit_bytes: int) -> tuple[Span, ...]:
    """The tensors that a safetensors file declares, in the order of their data.

    Memory and time are bounded by the header's size, which is bounded itself.

    Raises:
        UnsafeFileError: another format, or more bytes than ``limit_bytes``.
        CheckpointError: truncated, or a header that lies.
    """
    refuse_unsafe(path)
    size = path.stat().st_size
    if size > limit_bytes:
        raise UnsafeFileError(
            f"{path} holds {human_bytes(size)}, at most {human_bytes(limit_bytes)} are accepted here.",
            hint="Load it on a machine with more memory.",
        )
    with path.open("rb") as file:
        start = file.read(8)
        _refuse_magic(start, path)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            raise CheckpointError(f"{path} is truncated: {size} bytes, its header alone declares {length}.")
        if length > _MAX_HEADER:
            raise UnsafeFileError(f"{path}: a header of {length} bytes; at most {_MAX_HEADER} are accepted.")
        header = file.read(length)
    return _spans(header, size - 8 - length, path)


def _refuse_magic(start: bytes, path: Path) -> None:
    for magic, kind in _MAGIC.items():
        # A header's length may begin with the same byte as a pickle, but is never a pickle's first two bytes.
        if start.startswith(magic) and (
            magic != b"\x80" or (start[1:2] in b"\x02\x03\x04\x05" and start[3:8] != bytes(5))
        ):
            raise UnsafeFileError(f"{path.name} is {kind}, whatever its name says.", hint=_CONVERT)


def _spans(header: bytes, data_size: int, path: Path) -> tuple[Span, ...]:
    crowded = header.count(b"{") > _MAX_TENSORS + 2 or header.count(b"[") > 2 * _MAX_TENSORS
    if crowded or header.count(b",") > 20 * _MAX_TENSORS:
        raise UnsafeFileError(f"{path}: its header declares more than {_MAX_TENSORS} tensors.")
    if not header.startswith(b"{"):
        raise CheckpointError(f"{path} is not a safetensors file: its header is not a JSON object.")
    entries = parse_json(header, path)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise CheckpointError(f"{path}: its metadata is not text.")
    spans = sorted((_span(name, entry, path) for name, entry in entries.items()), key=lambda span: span.begin)
    place = 0
    for span in sorted(spans, key=lambda span: (span.begin, span.end)):
        if span.begin != place:
            kind = "overlaps another" if span.begin < place else "leaves a gap before it"
            raise CheckpointError(f"{path}: the data of {span.name!r} {kind}.")
        place = span.end
    if place != data_size:
        raise CheckpointError(f"{path}: its header declares {place} bytes of data, the file has {data_size}.")
    return tuple(sorted(spans, key=lambda span: (span.begin, span.end)))


def _span(name: str, entry: Any, path: Path) -> Span:
    if not name or len(name) > 512 or not name.isprintable():
        raise CheckpointError(f"{path}: a tensor has the unusable name {name[:80]!r}.")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{path}: the entry of {name!r} should have dtype, shape and data_offsets.")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in ITEM_SIZES:
        raise CheckpointError(f"{path}: {name!r} has the type {str(dtype)[:20]!r}; accepted: {', '.join(ITEM_SIZES)}.")
    if not _naturals(shape) or len(shape) > _MAX_DIMENSIONS:
        raise CheckpointError(f"{path}: {name!r} has an impossible shape.")
    if not _naturals(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise CheckpointError(f"{path}: {name!r} has impossible offsets {str(offsets)[:80]}.")
    begin, end = offsets
    if math.prod(shape) * ITEM_SIZES[dtype] != end - begin:
        raise CheckpointError(f"{path}: {name!r} is {dtype} {shape}, which does not fill its {end - begin} bytes.")
    return Span(name, dtype, tuple(shape), begin, end)


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)
