"""The reader of arrays: ``.npy``, ``.npz``, idx files, numpy arrays, tensors, and mappings or pairs of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headwater.data.bundle import Choice, choose
from headwater.data.cache import CacheEntry, cached, content_key, stamp
from headwater.data.dataset import Reading
from headwater.data.describe import describe_array
from headwater.data.labels import encode_labels
from headwater.data.limits import Limits
from headwater.data.npy import Stored, map_npy, stored_idx, stored_npz
from headwater.data.overrides import overridden
from headwater.data.schema import Schema
from headwater.errors import DataError
from headwater.progress import Progress
from headwater.settings import DataSettings

__all__ = ["idx_files", "read_arrays"]

_IN_MEMORY = 256_000_000


@dataclass(frozen=True)
class Found:
    """Events and what was found beside them.

    Args:
        events: The array, as it came.
        where: Its name in messages.
        source: numpy, torch or idx.
        labels: One for each event, if there are any.
        label_name: What they are called.
        fixed: Rows of the splits that the data brings.
        files: Files that ``events`` maps directly.
    """

    events: np.ndarray
    where: str
    source: str
    labels: np.ndarray | None = None
    label_name: str = ""
    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def read_arrays(
    data: Any, settings: DataSettings, limits: Limits, progress: Progress, declared: Schema | None = None
) -> Reading:
    """Read events, labels and splits from arrays.

    Raises:
        UnsafeFileError: Python objects in the file.
        DataError: no events found, damaged files, values that are no finite numbers.
    """
    if isinstance(data, Path):
        return _read_path(data, settings, limits, progress)
    arrays, source = _named(data)
    stored = [Stored(name, array.shape, array.dtype, _copier(array)) for name, array in arrays.items()]
    if len(arrays) == 1:
        (name,) = arrays
        return _reading(Found(arrays[name], source, source), settings, limits)
    return _assemble(stored, settings, limits, progress, source, source, None)


def _named(data: Any) -> tuple[dict[str, np.ndarray], str]:
    """Arrays by name, and what they were: numpy or torch."""
    if isinstance(data, tuple) and len(data) == 2:
        data = {"x": data[0], "y": data[1]}
    named = dict(data) if isinstance(data, Mapping) else {"x": data}
    source = "torch" if any(_is_tensor(value) for value in named.values()) else "numpy"
    arrays = {str(name): _array(value) for name, value in named.items()}
    return arrays, source


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.startswith("torch") and hasattr(value, "detach")


def _array(value: Any) -> np.ndarray:
    if not _is_tensor(value):
        return np.asarray(value)
    value = value.detach().cpu()
    if str(value.dtype) in ("torch.bfloat16", "torch.float16"):
        value = value.float()
    return value.numpy()


def _copier(array: np.ndarray) -> Any:
    def read(target: np.ndarray) -> None:
        target[...] = array

    return read


def idx_files(folder: Path) -> list[Path]:
    """The idx files of a folder, by name."""
    return sorted(p for p in folder.iterdir() if "idx" in p.name and ("ubyte" in p.name or p.suffix in (".gz", ".idx")))


def _read_path(path: Path, settings: DataSettings, limits: Limits, progress: Progress) -> Reading:
    if path.suffix.lower() == ".npy":
        return _reading(Found(map_npy(path, limits), str(path), "numpy", files=(path,)), settings, limits)
    if path.suffix.lower() == ".npz":
        return _assemble(stored_npz(path, limits), settings, limits, progress, str(path), "numpy", path)
    files = idx_files(path) if path.is_dir() else _idx_pair(path)
    stored = [_renamed(stored_idx(file, limits)) for file in files]
    return _assemble(stored, settings, limits, progress, str(path), "idx", path)


def _idx_pair(path: Path) -> list[Path]:
    partner = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1"))
    return [path, partner] if partner != path and partner.is_file() else [path]


def _renamed(stored: Stored) -> Stored:
    name = stored.name.lower()
    base = "y" if "label" in name else "x"
    split = "_test" if "t10k" in name or "test" in name else "_train" if "train" in name else ""
    return Stored(base + split, stored.shape, stored.dtype, stored.read_into)


def _assemble(
    stored: list[Stored],
    settings: DataSettings,
    limits: Limits,
    progress: Progress,
    where: str,
    source: str,
    path: Path | None,
) -> Reading:
    by_name = {item.name: item for item in stored}
    if path is not None and source == "idx" and not any(name.endswith("_train") for name in by_name):
        by_name = {name.removesuffix("_test"): item for name, item in by_name.items()}
    choice = choose({name: item.shape for name, item in by_name.items()}, settings, where)
    parts = [by_name[name] for name in choice.events.values()]
    if len({(part.shape[1:], part.dtype) for part in parts}) > 1:
        shapes = ", ".join(f"{part.name} {part.shape} {part.dtype}" for part in parts)
        raise DataError(f"{where}: splits differ in shape or type: {shapes}.", hint="Say which: --set data.key=NAME")
    bounds = np.cumsum([0, *(part.shape[0] for part in parts)])
    events = _gather(parts, bounds, progress, path)
    fixed = {split: np.arange(bounds[i], bounds[i + 1]) for i, split in enumerate(choice.events) if split}
    name, labels = _labels(choice, by_name)
    return _reading(Found(events, where, source, labels, name, fixed), settings, limits)


def _gather(parts: list[Stored], bounds: np.ndarray, progress: Progress, path: Path | None) -> np.ndarray:
    """All parts in one array: in memory, or beyond 256 MB in a file of the cache."""
    shape, dtype = (int(bounds[-1]), *parts[0].shape[1:]), parts[0].dtype.newbyteorder("=")
    size = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize

    def fill(target: np.ndarray) -> None:
        with progress.phase("Reading arrays", total=len(parts), unit="arrays") as phase:
            for i, part in enumerate(parts):
                part.read_into(target[bounds[i] : bounds[i + 1]])
                phase.advance()

    if path is None or path.is_dir() or size <= _IN_MEMORY:
        whole = np.empty(shape, dtype)
        fill(whole)
        return whole

    def fill_entry(entry: CacheEntry) -> None:
        target = entry.create("storage", shape, dtype)
        fill(target)
        entry.write({})

    entry = cached(content_key([stamp(path)], [part.name for part in parts]), fill_entry)
    mapped = entry.load("storage")
    assert mapped is not None
    return mapped


def _labels(choice: Choice, by_name: Mapping[str, Stored]) -> tuple[str, np.ndarray | None]:
    if not choice.labels:
        return "", None
    arrays = [by_name[name].load().reshape(-1) for name in choice.labels.values()]
    return next(iter(choice.labels.values())).removesuffix("_train"), np.concatenate(arrays)


def _reading(found: Found, settings: DataSettings, limits: Limits) -> Reading:
    array, fixed = found.events, found.fixed
    if settings.max_rows is not None:
        array = array[: settings.max_rows]
        fixed = {split: rows[rows < len(array)] for split, rows in fixed.items()}
        fixed = {split: rows for split, rows in fixed.items() if len(rows)}
    described = describe_array(array, kind=settings.kind, limits=limits, where=found.where, source=found.source)
    described = overridden(described, settings.columns)
    schema, codes = described.schema, None
    if found.labels is not None:
        codes, label = encode_labels(found.labels[: len(array)], name=found.label_name, limits=limits)
        schema = schema.model_copy(update={"label": label})
    mapped = found.files if np.may_share_memory(described.storage, array) else ()
    return Reading(
        schema, described.storage, codes, fixed, notes=described.notes, warnings=described.warnings, files=mapped
    )
