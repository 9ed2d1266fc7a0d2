"""What ``headwater inspect`` tells: what the data is, what is wrong with it, and what a model will see."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headwater.data.dataset import Dataset
from headwater.data.open import open_dataset
from headwater.data.schema import Schema
from headwater.data.split import count_duplicates, count_leaks
from headwater.errors import UnsupportedEventError
from headwater.events import Encoding
from headwater.progress import Progress
from headwater.settings import DataSettings

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Inspection", "inspect", "sheet"]

_SHOWN = 60
_RUNS = 12


@dataclass(frozen=True)
class Inspection:
    """Figures about a data set. ``print`` it, or take :meth:`to_json`."""

    dataset: Dataset
    duplicates: int
    leaks: dict[str, int]
    seen: dict[str, str]

    @property
    def schema(self) -> Schema:
        """What the data is; write it with ``schema.write(path)``, edit it, give it back."""
        return self.dataset.schema

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        data = self.dataset
        return {
            "kind": self.schema.kind,
            "rows": len(data),
            "shape": list(self.schema.shape),
            "schema": self.schema.to_json(),
            "splits": {name: len(rows) for name, rows in data.splits.items()},
            "classes": self._classes(),
            "duplicates": self.duplicates,
            "leaks": self.leaks,
            "alignment": self._alignment(),
            "bytes": self._bytes(),
            "memory_mapped": _is_mapped(data.storage),
            "fingerprint": data.fingerprint,
            "model_sees": self.seen,
            "skipped": [list(item) for item in data.skipped],
            "notes": list(data.notes),
            "warnings": list(data.warnings),
        }

    def sheet(self, rows: int = 8, columns: int = 8) -> Image.Image | None:
        """A grid of the first training pictures; None for other kinds."""
        if self.schema.kind != "images":
            return None
        chosen = self.dataset.splits["train"][: rows * columns]
        return sheet(np.asarray(self.dataset.storage[chosen]), self.schema, columns)

    def _bytes(self) -> int:
        return len(self.dataset) * math.prod(self.schema.shape) * self.dataset.storage.dtype.itemsize

    def _classes(self) -> dict[str, int]:
        label, labels = self.schema.label, self.dataset.labels
        if label is None or labels is None or not label.classes:
            return {}
        counts = np.bincount(labels[labels >= 0], minlength=len(label.classes))
        return dict(zip(label.classes, counts.tolist(), strict=True))

    def _alignment(self) -> dict[str, Any] | None:
        """The target, its depth and what was left out; None for other kinds."""
        about, data = self.schema.alignment, self.dataset
        if about is None:
            return None
        plain = about.model_dump(mode="json", exclude={"positions", "sequence"})
        used = {} if data.weights is None else {n: float(data.weights[rows].sum()) for n, rows in data.splits.items()}
        figures = {"residues": len(about.sequence), "modelled": len(about.positions), "depth": about.depth}
        return plain | figures | {"effective": used}

    def _alignment_lines(self) -> list[str]:
        about, found = self.schema.alignment, self._alignment()
        if about is None or found is None:
            return []
        end = about.start + len(about.sequence) - 1
        lines = [
            f"target {about.name}: {len(about.sequence)} residues {about.start} .. {end},"
            f" {len(about.positions)} modelled: {_ranges(about.positions)}",
            f"N = {about.sequences}, Neff = {about.neff:.1f} (theta {about.theta:g}, {about.convention}),"
            f" depth Neff/L = {about.depth:.2f}",
        ]
        if found["effective"]:
            lines.append("effective: " + ", ".join(f"{name} {value:.1f}" for name, value in found["effective"].items()))
        reasons = (
            f"{count} {reason.replace('_', ' (', 1).replace('_', ' ')})" for reason, count in about.dropped.items()
        )
        dropped = ", ".join(reasons)
        return [*lines, f"left out: {dropped or 'nothing'}"]

    def __str__(self) -> str:
        data = self.dataset
        splits = ", ".join(f"{name} {len(rows)}" for name, rows in data.splits.items())
        place = "memory-mapped" if _is_mapped(data.storage) else "in memory"
        lines = [
            f"{self.schema.kind}: {len(data)} rows of shape {self.schema.shape}, {_size(self._bytes())} {place}",
            f"splits: {splits}; duplicates: {self.duplicates}",
        ]
        lines += [f"leakage: {count} rows of {name} are in train too" for name, count in self.leaks.items() if count]
        if self.schema.label is not None:
            kinds = self._classes()
            told = ", ".join(f"{name} {count}" for name, count in list(kinds.items())[:12]) or "a number"
            lines.append(f"label {self.schema.label.name!r}: {told}{', ...' if len(kinds) > 12 else ''}")
        lines += self._alignment_lines()
        if self.schema.levels is not None:
            lines.append(f"pixels: 0 .. {self.schema.levels - 1}")
        lines += _column_lines(self.schema)
        lines += [f"a model in encoding {name} sees {text}" for name, text in self.seen.items()]
        lines += [f"note: {text}" for text in data.notes]
        lines += [f"warning: {text}" for text in data.warnings]
        lines += [f"skipped: {item.record!r} {item.reason}" for item in data.skipped[:10]]
        return "\n".join(lines)


def inspect(data: Any = None, settings: DataSettings | None = None, *, progress: Progress | None = None) -> Inspection:
    """Open ``data`` and find out all that a user should know before training.

    Raises:
        DataError: it cannot be read.
    """
    dataset = open_dataset(data, settings, progress=progress)
    seen = {str(encoding): _seen(dataset, encoding) for encoding in Encoding}
    leaks = count_leaks(dataset.hashes, dataset.splits)
    return Inspection(dataset, count_duplicates(dataset.hashes), leaks, seen)


def _seen(dataset: Dataset, encoding: Encoding) -> str:
    """The event in this encoding, or why there is none."""
    from headwater.data.codec import Codec

    try:
        return str(Codec.fit(dataset, encoding).event)
    except UnsupportedEventError as error:
        return f"nothing: {error.message}"


def sheet(pictures: np.ndarray, schema: Schema, columns: int = 8) -> Image.Image:
    """A grid of pictures ``(n, channels, height, width)`` stored as the schema says, small ones enlarged."""
    from PIL import Image

    assert schema.levels is not None
    n, channels, height, width = pictures.shape
    columns = max(1, min(columns, n))
    rows = -(-n // columns)
    scaled = (pictures.astype(np.float32) * (255.0 / (schema.levels - 1))).round().astype(np.uint8)
    grid = np.zeros((rows * columns, channels, height, width), dtype=np.uint8)
    grid[:n] = scaled
    grid = grid.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    flat = grid.reshape(rows * height, columns * width, channels)
    picture = Image.fromarray(flat[..., 0] if channels in (1, 2) else flat[..., :4])
    zoom = max(1, 32 // max(height, width))
    return picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)


def _column_lines(schema: Schema) -> list[str]:
    lines = []
    for column in schema.columns[:_SHOWN]:
        parts = [column.type if column.size == 1 else f"{column.size} x {column.type}"]
        if column.categories:
            parts.append(f"{len(column.categories)} values: {', '.join(column.categories[:6])}")
        elif column.low is not None and column.high is not None:
            parts.append(f"{column.low:g} .. {column.high:g}")
        if column.distinct is not None:
            parts.append(f"{column.distinct} distinct")
        if column.missing:
            parts.append("with missing values")
        lines.append(f"  {column.name}: {'; '.join(parts)}")
    hidden = len(schema.columns) - _SHOWN
    return lines + [f"  ... and {hidden} more columns"] * (hidden > 0)


def _ranges(positions: tuple[int, ...]) -> str:
    """Runs of numbers, the first few.

    >>> _ranges((1, 2, 3, 7, 9, 10))
    '1-3, 7, 9-10'
    """
    breaks = [i for i in range(1, len(positions)) if positions[i] != positions[i - 1] + 1]
    runs = [(positions[a], positions[b - 1]) for a, b in zip([0, *breaks], [*breaks, len(positions)], strict=True)]
    told = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:_RUNS]]
    return ", ".join(told) + (f", and {len(runs) - _RUNS} runs more" if len(runs) > _RUNS else "")


def _is_mapped(storage: np.ndarray) -> bool:
    base: Any = storage
    while base is not None:
        if isinstance(base, np.memmap):
            return True
        base = getattr(base, "base", None)
    return False


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 1_000:
            return f"{count:.3g} {unit}"
        count = round(count / 1_000, 1)  # type: ignore[assignment]
    return f"{count:.4g} GB"
