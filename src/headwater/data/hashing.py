"""A 64-bit hash of each row's content, vectorized: equal rows are equal wherever they stand.

Each 8-byte word is mixed with its place and the words of a row are added. Categories are hashed by their text and
columns by their name, so adding rows (and with them categories) changes no hash.

The mixing function is SplitMix64's finalizer: Fast Splittable Pseudorandom Number Generators (Steele, Lea,
Flood, 2014), https://doi.org/10.1145/2714064.2660195. Not for cryptography.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from headwater.data.cache import release
from headwater.data.schema import Schema
from headwater.progress import Phase

__all__ = ["hash_rows", "mix"]

_CHUNK_BYTES = 8_000_000
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(z: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer of each uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def hash_rows(storage: np.ndarray, schema: Schema, phase: Phase | None = None) -> np.ndarray:
    """Hashes ``(rows,)`` uint64 of the rows of ``storage``, read in pieces of bounded size."""
    hashes = np.empty(len(storage), dtype=np.uint64)
    tables = _category_hashes(schema)
    places = _places(schema)
    for rows in _chunks(storage):
        words = _words(storage[rows], tables)
        tweak = places if places is not None else np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _GOLDEN
        hashes[rows] = mix(mix(words ^ tweak).sum(axis=1, dtype=np.uint64))
        release(storage)
        if phase is not None:
            phase.advance(len(words))
    return hashes


def _chunks(storage: np.ndarray) -> Iterator[slice]:
    row = max(1, int(np.prod(storage.shape[1:])) * max(storage.dtype.itemsize, 1))
    step = max(1, _CHUNK_BYTES // row)
    for start in range(0, len(storage), step):
        yield slice(start, min(start + step, len(storage)))


def _words(rows: np.ndarray, tables: dict[int, np.ndarray]) -> np.ndarray:
    """Content of rows as uint64 words; floats become float64 without negative zero and with one NaN."""
    rows = np.ascontiguousarray(rows).reshape(len(rows), -1)
    if rows.dtype.kind == "f":
        values = rows.astype(np.float64) + 0.0  # adding zero makes -0.0 into 0.0
        values[np.isnan(values)] = np.nan
        words = values.view(np.uint64)
        for column, table in tables.items():
            column_values = values[:, column]
            codes = np.where(np.isnan(column_values), len(table) - 1, column_values).astype(np.int64)
            words[:, column] = table[codes]
        return words
    raw = rows.view(np.uint8).reshape(len(rows), -1)
    padded = np.zeros((len(rows), -(-raw.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : raw.shape[1]] = raw
    return padded.view(np.uint64)


def _category_hashes(schema: Schema) -> dict[int, np.ndarray]:
    """For each column with categories, the hash of each text; the last one stands for missing."""
    if schema.kind != "table":
        return {}
    return {
        i: np.array([_text(text) for text in (*column.categories, "\0missing")], dtype=np.uint64)
        for i, column in enumerate(schema.kept)
        if column.categories
    }


def _places(schema: Schema) -> np.ndarray | None:
    if schema.kind != "table":
        return None
    return np.array([_text(column.name) for column in schema.kept], dtype=np.uint64)


def _text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
