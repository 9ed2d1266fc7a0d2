"""Named tensors on disk: safetensors, written durably with their hash, read only after the header was checked."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from headwater.errors import CheckpointError
from headwater.runs.failpoints import failpoint
from headwater.runs.header import ITEM_SIZES, read_header
from headwater.runs.memory import available_bytes

__all__ = ["check_state", "load_state", "non_finite", "read_safetensors", "tensor_bytes", "write_safetensors"]

_CODES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_CHUNK = 16 * 2**20


def tensor_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Bytes that the tensors take on disk."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def write_safetensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    advance: Callable[[int], None] | None = None,
) -> tuple[int, str]:
    """Write a new safetensors file, synced; returns its size and its sha256.

    The bytes are the format's own, streamed here rather than by ``safetensors.torch.save_file`` so that
    hashing, progress and an honest ``OSError`` for a full disk come in the same pass.

    Args:
        path: A file that does not exist.
        tensors: What to write; any device, any layout.
        metadata: Text kept in the header.
        advance: Called with the number of bytes after each chunk.
    """
    assert sys.byteorder == "little", "the format is little endian"
    # Widest types first, so that every tensor is aligned for readers that map the file.
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header = _header(order, tensors, metadata)
    digest = hashlib.sha256(header)
    with path.open("xb") as file:
        file.write(header)
        for name in order:
            data = tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
            middle = len(data) // 2
            for start in (*range(0, middle, _CHUNK), *range(middle, len(data), _CHUNK)):
                if start == middle:
                    failpoint("mid-tensor")
                chunk = data[start : min(start + _CHUNK, middle if start < middle else len(data))]
                file.write(chunk)
                digest.update(chunk)
                if advance is not None:
                    advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())
        return file.tell(), digest.hexdigest()


def _header(order: list[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None) -> bytes:
    entries: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name in order:
        tensor = tensors[name]
        assert tensor.dtype in _CODES, f"{name}: {tensor.dtype} has no place in a checkpoint"
        end = place + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": _CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_safetensors(path: Path, *, limit_bytes: int | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, in memory of their own (not mapped), on the CPU.

    Args:
        path: The file.
        limit_bytes: Refuse larger files; None: the memory that is available.

    Raises:
        UnsafeFileError: a format that can execute code, or too large.
        CheckpointError: truncated or damaged.
    """
    spans = read_header(path, limit_bytes=available_bytes() if limit_bytes is None else limit_bytes)
    assert set(_CODES.values()) == set(ITEM_SIZES)
    try:
        mapped = safetensors.torch.load_file(path, device="cpu")
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}.") from None
    # A mapped tensor dies with the file under it; a run may be pruned while it is being read.
    return {span.name: mapped[span.name].clone() for span in spans}


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or infinity.

    >>> non_finite({"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")])})
    ['b']
    """
    return [name for name, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]


def check_state(model: nn.Module, tensors: Mapping[str, Tensor], *, where: str = "weights") -> None:
    """Raise unless the tensors are exactly the model's state: same names, same shapes, all finite.

    Raises:
        CheckpointError: a diff by name of what is missing, extra, of another shape, or not finite.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    lines = [f"- {name} {shape} is missing" for name, shape in wanted.items() if name not in given]
    lines += [f"+ {name} {shape} is not in the model" for name, shape in given.items() if name not in wanted]
    lines += [
        f"~ {name} is {given[name]}, the model has {shape}"
        for name, shape in wanted.items()
        if name in given and given[name] != shape
    ]
    if lines:
        shown = "\n".join(lines[:20]) + (f"\nand {len(lines) - 20} more" if len(lines) > 20 else "")
        raise CheckpointError(
            f"{where} do not fit {type(model).__name__}:\n{shown}",
            hint="They were saved by a model with other settings: use the config.toml of the run they belong to.",
        )
    spoiled = non_finite(tensors)
    if spoiled:
        raise CheckpointError(f"{where} hold NaN or infinity in {', '.join(map(repr, spoiled[:10]))}.")


def load_state(model: nn.Module, tensors: Mapping[str, Tensor], *, where: str = "weights") -> None:
    """Copy the tensors into the model after :func:`check_state`; types and device stay the model's."""
    check_state(model, tensors, where=where)
    model.load_state_dict(dict(tensors), strict=True)
