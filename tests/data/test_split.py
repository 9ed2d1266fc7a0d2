"""Laws of the split: pure function of content, stable, no straddling; and of hashes and the cache."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.data import open_dataset
from headwater.data.cache import CacheEntry, cache_folder, cached
from headwater.data.hashing import hash_rows, mix
from headwater.data.split import count_duplicates, count_leaks, split_rows
from headwater.errors import DataError, ResourceError
from headwater.settings import DataSettings


def by_split(hashes: np.ndarray, **options: float) -> dict[str, np.ndarray]:
    return split_rows(hashes, **({"valid": 0.1, "test": 0.2, "seed": 0} | options))  # type: ignore[arg-type]


def test_shares_are_as_asked_and_every_row_is_somewhere_once() -> None:
    hashes = mix(np.arange(200_000, dtype=np.uint64))
    splits = by_split(hashes)
    assert abs(len(splits["test"]) / 200_000 - 0.2) < 0.005
    assert abs(len(splits["valid"]) / 200_000 - 0.1) < 0.005
    assert np.array_equal(np.sort(np.concatenate(list(splits.values()))), np.arange(200_000))


def test_another_seed_is_another_split_and_the_same_seed_the_same() -> None:
    hashes = mix(np.arange(5_000, dtype=np.uint64))
    assert np.array_equal(by_split(hashes)["test"], by_split(hashes)["test"])
    other = by_split(hashes, seed=1)["test"]
    assert 0.1 < np.isin(other, by_split(hashes)["test"]).mean() < 0.3


@given(st.lists(st.integers(0, 20), min_size=3, max_size=200), st.integers(0, 9))
@settings(max_examples=80, deadline=None)
def test_duplicates_never_straddle_and_no_split_is_empty(values: list[int], seed: int) -> None:
    hashes = mix(np.array(values, dtype=np.uint64))
    if len(set(values)) < 3:
        with pytest.raises(DataError, match="distinct rows"):
            by_split(hashes, seed=seed)
        return
    splits = by_split(hashes, seed=seed)
    assert all(len(rows) for rows in splits.values())
    owners = [set(hashes[rows]) for rows in splits.values()]
    assert not owners[0] & owners[1]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]
    assert sum(map(len, splits.values())) == len(values)


def frame(n: int, jobs: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"x": rng.standard_normal(5000), "k": rng.integers(0, 9, 5000)}).head(n)
    return table.with_columns(job=pl.Series([f"job {(7 * i) % jobs:02d}" for i in range(n)]))


def test_rows_stay_where_they_are_when_others_and_categories_are_added() -> None:
    small = open_dataset(frame(1000, 5).with_columns(job=pl.lit("job 9") + pl.col("job")))
    large = frame(2000, 5).with_columns(job=pl.lit("job 9") + pl.col("job"))
    large[1500, "job"] = "aaa comes first"
    grown = open_dataset(large)
    assert grown.schema.column("job").categories[0] == "aaa comes first"
    assert np.array_equal(grown.hashes[:1000], small.hashes)
    for name, rows in small.splits.items():
        assert np.array_equal(rows, grown.splits[name][grown.splits[name] < 1000])


def test_content_decides_the_hash_and_nothing_else() -> None:
    data = open_dataset(frame(300, 5))
    shuffled = open_dataset(frame(300, 5).reverse().select("job", "k", "x"))
    assert np.array_equal(np.sort(data.hashes), np.sort(shuffled.hashes))
    zero = np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]])
    hashes = hash_rows(zero, open_dataset(np.random.default_rng(0).standard_normal((9, 2))).schema)
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


def test_hashes_of_pictures_see_every_pixel() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (200, 3, 5, 7), dtype=np.uint8)
    data = open_dataset(pictures)
    changed = pictures.copy()
    changed[np.arange(200), 2, 4, np.arange(200) % 7] ^= 1
    assert (hash_rows(changed, data.schema) != data.hashes).all()
    assert count_duplicates(np.concatenate([data.hashes, data.hashes])) == 200


def test_many_hashes_do_not_collide() -> None:
    values = np.arange(200_000, dtype=np.float64).reshape(-1, 2)
    schema = open_dataset(values[:100]).schema
    assert count_duplicates(hash_rows(values, schema)) == 0


def test_leaks_are_counted() -> None:
    hashes = mix(np.array([1, 2, 3, 1, 4, 3], dtype=np.uint64))
    splits = {"train": np.array([0, 1, 2]), "valid": np.array([3, 4]), "test": np.array([5])}
    assert count_leaks(hashes, splits) == {"valid": 1, "test": 1}


def test_the_fingerprint_follows_content_schema_and_splits() -> None:
    base = open_dataset(frame(300, 5))
    assert open_dataset(frame(300, 5)).fingerprint == base.fingerprint
    changed = frame(300, 5)
    changed[7, "x"] = 0.5
    assert open_dataset(changed).fingerprint != base.fingerprint
    assert open_dataset(frame(300, 5), DataSettings(split_seed=1)).fingerprint != base.fingerprint
    assert open_dataset(frame(300, 5), DataSettings(label="job")).fingerprint != base.fingerprint


def test_a_cache_entry_is_whole_or_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path))

    def breaks(entry: CacheEntry) -> None:
        entry.create("storage", (10, 2), np.dtype(np.float64))
        raise DataError("stop")

    with pytest.raises(DataError, match="stop"):
        cached("key", breaks)
    assert list(tmp_path.iterdir()) == []

    def fills(entry: CacheEntry) -> None:
        entry.create("storage", (10, 2), np.dtype(np.float64))[:] = 3
        entry.truncate("storage", 4)
        entry.write({"a": 1})

    entry = cached("key", fills)
    stored = entry.load("storage")
    assert stored is not None
    assert stored.shape == (4, 2)
    assert cached("key", breaks).read() == {"a": 1}


def test_a_full_disk_is_a_resource_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path))
    with pytest.raises(ResourceError, match="bytes"):
        cached("big", lambda entry: entry.create("storage", (1 << 50,), np.dtype(np.float64)))  # type: ignore[arg-type,return-value]

    def full(entry: CacheEntry) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ResourceError) as caught:
        cached("full", full)
    assert "HEADWATER_CACHE" in caught.value.hint


def test_the_cache_goes_elsewhere_when_home_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HEADWATER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("HOME", str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert cache_folder() == tmp_path / f"headwater-{os.getuid()}"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "headwater"
