"""Spaces in which raw events have distances: standardized pixels, numbers and categories side by side."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Shaped

from headwater.evaluation.columns import Column

__all__ = ["ColumnSpace", "PixelSpace", "Space"]

_MOST_CATEGORIES = 64
_MOST_PIXELS = 16


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


class Space(ABC):
    """Maps raw events to float32 inputs of about unit spread, with constants of the training rows.

    Attributes:
        name: What distances in it are distances of.
        fingerprint: Hash of its constants.
    """

    name: str
    fingerprint: str

    @abstractmethod
    def inputs(self, raw: Shaped[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *inputs"]:
        """Inputs of a network: ``(n, channels, height, width)`` or ``(n, d)``."""

    @abstractmethod
    def vectors(self, raw: Shaped[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n d"]:
        """Rows whose Euclidean distances are measured."""


@final
class PixelSpace(Space):
    """Pictures minus the training mean over the training deviation, per channel.

    Distances are taken after pooling to at most 16 x 16 pixels, which keeps their
    cost bounded and a shift by a pixel small.
    """

    def __init__(self, train: Shaped[np.ndarray, "n channels height width"]) -> None:
        self.name = "standardized pixels"
        rows = train[:: max(1, len(train) // 10_000)].astype(np.float64)
        self.mean = rows.mean(axis=(0, 2, 3)).astype(np.float32)[:, None, None]
        spread = rows.std(axis=(0, 2, 3)).astype(np.float32)[:, None, None]
        self.scale = np.where(spread > 0, spread, np.float32(1))
        self.fingerprint = _hash(b"pixels", self.mean.tobytes(), self.scale.tobytes())

    def inputs(self, raw: Shaped[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *inputs"]:
        return (raw.astype(np.float32) - self.mean) / self.scale

    def vectors(self, raw: Shaped[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n d"]:
        if max(raw.shape[2:]) <= _MOST_PIXELS:
            return self.inputs(raw).reshape(len(raw), -1)
        size = (min(raw.shape[2], _MOST_PIXELS), min(raw.shape[3], _MOST_PIXELS))
        pool = torch.nn.functional.adaptive_avg_pool2d
        parts = [
            pool(torch.from_numpy(self.inputs(raw[start : start + 1024])), size).numpy()
            for start in range(0, len(raw), 1024)
        ]
        return np.concatenate(parts).reshape(len(raw), -1)


@final
class ColumnSpace(Space):
    """Numbers standardized, categories one-hot over sqrt(2), a column of its own for "missing".

    So a number one deviation away, another category, and missing against present are
    all at distance one. A missing number sits at the mean; of more than 64
    categories the rarer ones share one place.
    """

    def __init__(self, columns: Sequence[Column], train: Shaped[np.ndarray, "n *shape"]) -> None:
        self.name = "standardized columns"
        self.columns = tuple(columns)
        rows = train.reshape(len(train), -1).astype(np.float64)
        seen = np.isfinite(rows)
        count = np.maximum(seen.sum(axis=0), 1)
        self.mean = np.where(seen, rows, 0).sum(axis=0) / count
        spread = np.sqrt(np.where(seen, (rows - self.mean) ** 2, 0).sum(axis=0) / count)
        self.scale = np.where(spread > 0, spread, 1.0)
        self.missing = np.asarray(np.isnan(rows).any(axis=0))
        self.kept = [_frequent(rows[:, i], c) for i, c in enumerate(self.columns)]
        parts = [self.mean.tobytes(), self.scale.tobytes(), self.missing.tobytes(), *(k.tobytes() for k in self.kept)]
        self.fingerprint = _hash(b"columns", repr(self.columns).encode(), *parts)

    def inputs(self, raw: Shaped[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n *inputs"]:
        rows = raw.reshape(len(raw), -1).astype(np.float64)
        parts: list[np.ndarray] = []
        for i, column in enumerate(self.columns):
            value = rows[:, i]
            absent = np.isnan(value)
            if column.kind == "category":
                one_hot = np.equal(value[:, None], self.kept[i])  # NaN equals none of them
                rest = ~one_hot.any(axis=1, keepdims=True)
                parts.append(np.concatenate([one_hot, rest], axis=1) / 2**0.5)
                continue
            parts.append(np.where(absent, 0.0, (value - self.mean[i]) / self.scale[i])[:, None])
            if self.missing[i]:
                parts.append(absent[:, None].astype(np.float64))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def vectors(self, raw: Shaped[np.ndarray, "n *shape"]) -> Float[np.ndarray, "n d"]:
        return self.inputs(raw)


def _frequent(values: Float[np.ndarray, " n"], column: Column) -> Float[np.ndarray, " kept"]:
    if column.kind != "category":
        return np.zeros(0)
    if len(column.classes) <= _MOST_CATEGORIES:
        return np.arange(len(column.classes), dtype=np.float64)
    codes, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return np.sort(codes[np.argsort(-counts, kind="stable")[: _MOST_CATEGORIES - 1]])
