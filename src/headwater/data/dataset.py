"""Data that is ready to train on: stored rows, labels, splits and a fingerprint; memory-mapped where it is large."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from headwater.data.cache import stamp
from headwater.data.schema import Schema
from headwater.errors import DataError
from headwater.settings import DataSettings

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Dataset", "Reading", "Skipped"]


class Skipped(NamedTuple):
    """A record that could not be read."""

    record: str
    reason: str


@dataclass
class Reading:
    """What a reader of one kind of data hands over.

    Args:
        schema: What it is.
        storage: ``(rows, *schema.shape)``; may be memory-mapped.
        labels: int64 codes of classes (-1: none), or float64 numbers.
        fixed: Rows of the splits that the data brings.
        skipped: Records that were passed over.
        notes: What was decided on the way.
        warnings: What the user should know or act on.
        files: Files that ``storage`` maps directly.
        weights: float64, how much each row counts; None where all count alike.
    """

    schema: Schema
    storage: np.ndarray
    labels: np.ndarray | None = None
    fixed: dict[str, np.ndarray] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: tuple[Path, ...] = ()
    weights: np.ndarray | None = None


class Dataset:
    """Rows with random access; made by :func:`headwater.data.open_dataset`.

    Attributes:
        schema: What the data is.
        storage: ``(N, *shape)``: uint8 or uint16 pictures, numbers, or a float64 matrix of a table.
        labels: ``(N,)`` int64 classes or float64 numbers, or None.
        splits: Sorted row numbers of ``train``, ``valid`` and ``test``.
        fingerprint: sha256 over content, schema and splits.
        hashes: 64-bit content hash of each row.
        skipped: Records that could not be read, with the reason.
        notes, warnings: What was decided while reading, and what to act on.
        weights: ``(N,)`` float64, how much each row counts in training, or None.
    """

    def __init__(
        self, reading: Reading, hashes: np.ndarray, splits: Mapping[str, np.ndarray], settings: DataSettings
    ) -> None:
        self.schema, self.storage, self.labels = reading.schema, reading.storage, reading.labels
        self.skipped, self.notes, self.warnings = reading.skipped, tuple(reading.notes), tuple(reading.warnings)
        self.splits, self.hashes, self.settings = dict(splits), hashes, settings
        self.weights = _checked_weights(reading)
        self._stamps = {path: stamp(path) for path in reading.files}
        self.fingerprint = _fingerprint(self)

    def __len__(self) -> int:
        return len(self.storage)

    def rows(self, index: np.ndarray) -> tuple[Tensor, Tensor | None]:
        """Stored rows and labels with these numbers, on the CPU.

        Raises:
            DataError: a file that is mapped directly changed or vanished.
        """
        import torch

        for path, before in self._stamps.items():
            if stamp(path) != before:
                raise DataError(
                    f"{path}: changed since it was opened, so rows no longer are what they were.",
                    hint="Put the file back as it was, then resume.",
                )
        raw = np.ascontiguousarray(self.storage[index])
        if raw.dtype in (np.uint16, np.uint32):
            raw = raw.astype(np.int32 if raw.dtype == np.uint16 else np.int64)
        labels = None if self.labels is None else torch.from_numpy(np.ascontiguousarray(self.labels[index]))
        return torch.from_numpy(raw), labels

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(rows)}" for name, rows in self.splits.items())
        return f"Dataset({self.schema.kind}, {len(self)} rows of {self.schema.shape}; {sizes})"


def _checked_weights(reading: Reading) -> np.ndarray | None:
    """The weights: finite numbers of at least 0, one for each row and not all 0."""
    weights, rows = reading.weights, len(reading.storage)
    if weights is None:
        return None
    weights = np.asarray(weights, dtype=np.float64)
    if weights.shape != (rows,):
        raise DataError(f"Expected {rows} weights, one for each row, got shape {weights.shape}.")
    if not np.isfinite(weights).all() or weights.min(initial=0.0) < 0 or not weights.any():
        raise DataError("Expected finite weights of at least 0, not all 0.")
    return weights


def _fingerprint(dataset: Dataset) -> str:
    digest = hashlib.sha256(json.dumps(dataset.schema.to_json(), sort_keys=True).encode())
    digest.update(np.ascontiguousarray(dataset.hashes).data)
    if dataset.labels is not None:
        digest.update(np.ascontiguousarray(dataset.labels).data)
    if dataset.weights is not None:
        digest.update(np.ascontiguousarray(dataset.weights).data)
    for name in sorted(dataset.splits):
        digest.update(name.encode() + np.ascontiguousarray(dataset.splits[name]).tobytes())
    return digest.hexdigest()
