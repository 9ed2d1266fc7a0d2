"""Sequence weights and held-out families: equal to plain loops to the last count, cached, and never near a twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headwater.data.alignments import weights as weighing
from headwater.data.alignments.holdout import hold_out
from headwater.data.alignments.info import CATEGORIES, GAP, Alignment
from headwater.data.alignments.matches import count_neighbours, tiles
from headwater.data.alignments.weights import least_matches, neighbour_counts, sequence_weights
from headwater.data.hashing import hash_rows
from headwater.data.schema import Column, Schema
from headwater.errors import DataError


def family(n: int = 120, length: int = 23, seed: int = 0, changed: float = 0.25) -> np.ndarray:
    """Rows that descend from a few ancestors, with gaps."""
    rng = np.random.default_rng(seed)
    ancestors = rng.integers(0, 20, (5, length))
    rows = ancestors[rng.integers(0, 5, n)]
    rows = np.where(rng.random(rows.shape) < changed * rng.random((n, 1)), rng.integers(0, 20, rows.shape), rows)
    return np.where(rng.random(rows.shape) < 0.1, GAP, rows).astype(np.uint8)


def eve(codes: np.ndarray, theta: float) -> np.ndarray:
    """As the reference computes it: quotients of products of one-hot vectors, in float64."""
    one_hot = (codes[:, :, None] == np.arange(20)).reshape(len(codes), -1).astype(np.float64)
    counts = [int((one_hot @ x / (x @ x) > 1 - theta).sum()) if x.any() else 0 for x in one_hot]
    return np.array(counts)


def evcouplings(codes: np.ndarray, theta: float) -> np.ndarray:
    """Equal letters, gaps among them, over the length; at least the identity."""
    return np.array([int(((codes == row).sum(axis=1) / codes.shape[1] >= 1 - theta).sum()) for row in codes])


@pytest.mark.parametrize("theta", [0.2, 0.01, 0.1, 0.3, 0.5, 0.38, 0.0])
@pytest.mark.parametrize("length", [5, 20, 23, 100])
def test_counts_are_those_of_the_references_to_the_last(theta: float, length: int) -> None:
    codes = family(length=length, seed=length)
    assert np.array_equal(neighbour_counts(codes, theta, "eve"), eve(codes, theta))
    assert np.array_equal(neighbour_counts(codes, theta, "evcouplings"), evcouplings(codes, theta))


def test_a_share_that_is_just_the_threshold_is_no_neighbour_for_eve_and_one_for_evcouplings() -> None:
    codes = np.array([[0, 1, 2, 3, 4], [0, 1, 2, 3, 5]], dtype=np.uint8)  # four of five: 0.8 = 1 - theta
    assert neighbour_counts(codes, 0.2, "eve").tolist() == [1, 1]
    assert neighbour_counts(codes, 0.2, "evcouplings").tolist() == [2, 2]


def test_the_relation_of_eve_is_not_symmetric_and_gaps_never_match() -> None:
    codes = np.array([[0, 1, 2, 3, 4], [0, 1, GAP, GAP, GAP]], dtype=np.uint8)
    assert neighbour_counts(codes, 0.2, "eve").tolist() == [1, 2]
    empty = np.array([[GAP] * 5, [0, 1, 2, 3, 4]], dtype=np.uint8)
    assert neighbour_counts(empty, 0.2, "eve").tolist() == [0, 1]
    assert sequence_weights(empty, 0.2, "eve").tolist() == [0.0, 1.0]
    assert neighbour_counts(np.full((2, 5), GAP, np.uint8), 0.2, "evcouplings").tolist() == [2, 2]
    with pytest.raises(DataError, match="No sequence"):
        sequence_weights(np.full((3, 5), GAP, np.uint8), 0.2, "eve")


@pytest.mark.parametrize("size", [1, 7, 64, 500])
def test_tiles_of_any_size_give_the_same(size: int) -> None:
    codes = family()
    least = least_matches(23, lambda share: share > 0.8)[(codes != GAP).sum(axis=1)]
    assert np.array_equal(count_neighbours(codes, least, size=size), eve(codes, 0.2))
    whole = np.zeros((120, 30), dtype=np.int64)
    for tile in tiles(codes, codes[:30], size=size):
        whole[tile.rows, tile.columns] = tile.matches.numpy()
    assert np.array_equal(whole, ((codes[:, None] == codes[None, :30]) & (codes[:, None] != GAP)).sum(axis=2))


def test_weights_are_kept_under_content_and_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path))
    monkeypatch.setattr(weighing, "_WORTH_KEEPING", 0)
    codes, calls = family(), []
    plain = neighbour_counts
    monkeypatch.setattr(weighing, "neighbour_counts", lambda *args: calls.append(1) or plain(*args))
    first = sequence_weights(codes, 0.2, "eve")
    assert np.array_equal(first, 1 / eve(codes, 0.2))
    assert np.array_equal(sequence_weights(codes, 0.2, "eve"), first)
    assert len(calls) == 1
    other = codes.copy()
    other[0, 0] = (other[0, 0] + 1) % 20
    for changed in ((codes, 0.3, "eve"), (codes, 0.2, "evcouplings"), (other, 0.2, "eve"), (codes[:-1], 0.2, "eve")):
        weights = sequence_weights(*changed)
        assert np.array_equal(weights, 1 / plain(*changed))
    assert len(calls) == 5


@pytest.mark.parametrize("damage", ["size", "content", "nothing", "text"])
def test_damaged_weights_are_made_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str) -> None:
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path))
    monkeypatch.setattr(weighing, "_WORTH_KEEPING", 0)
    codes = family()
    first = sequence_weights(codes, 0.2, "eve")
    (entry,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    counts = np.load(entry / "counts.npy")
    match damage:
        case "size":
            np.save(entry / "counts.npy", counts[:-1])
        case "content":
            np.save(entry / "counts.npy", counts + 1)
        case "nothing":
            (entry / "counts.npy").write_bytes(b"")
        case "text":
            (entry / "entry.json").write_text("{")
    assert np.array_equal(sequence_weights(codes, 0.2, "eve"), first)
    assert np.array_equal(np.load(entry / "counts.npy"), counts)


def hashes(codes: np.ndarray) -> np.ndarray:
    length = codes.shape[1]
    column = Column(name="residue", type="categorical", size=length, categories=CATEGORIES, gap=True)
    about = Alignment(name="t", sequence="A" * length, positions=tuple(range(1, length + 1)), sequences=9, neff=1.0)
    return hash_rows(
        codes, Schema(kind="alignment", shape=(length,), columns=(column,), dtype="uint8", alignment=about)
    )


def many(seed: int = 1) -> np.ndarray:
    """Sixty families of five to ten near-copies."""
    rng = np.random.default_rng(seed)
    ancestors = rng.integers(0, 20, (60, 40))
    rows = np.repeat(ancestors, rng.integers(5, 11, 60), axis=0)
    return np.where(rng.random(rows.shape) < 0.04, rng.integers(0, 20, rows.shape), rows).astype(np.uint8)


def test_no_trained_row_is_a_near_copy_of_a_held_out_one() -> None:
    codes = many()
    weights = sequence_weights(codes, 0.2, "eve")
    held = hold_out(codes, weights, hashes(codes), valid=0.1, test=0.1, seed=0, focus=3)
    assert not held.alike
    assert 3 in held.train
    every = np.concatenate([held.train, held.valid, held.test, held.twins])
    assert np.array_equal(np.sort(every), np.arange(len(codes)))
    out = np.concatenate([held.valid, held.test])
    identity = (codes[held.train][:, None] == codes[None, out]).mean(axis=2)
    assert identity.max() < 0.8
    assert (codes[held.test][:, None] == codes[None, held.valid]).mean(axis=2).max() < 0.8
    for rows in (held.valid, held.test):
        assert 0.08 < weights[rows].sum() / weights.sum() < 0.13


def test_the_split_is_decided_by_content_and_seed() -> None:
    codes = many()
    weights = sequence_weights(codes, 0.2, "eve")
    first = hold_out(codes, weights, hashes(codes), valid=0.1, test=0.1, seed=0, focus=0)
    order = np.random.default_rng(0).permutation(len(codes))
    moved = codes[order]
    second = hold_out(moved, weights[order], hashes(moved), valid=0.1, test=0.1, seed=0, focus=int(np.argmin(order)))
    assert {row.tobytes() for row in codes[first.valid]} == {row.tobytes() for row in moved[second.valid]}
    other = hold_out(codes, weights, hashes(codes), valid=0.1, test=0.1, seed=1, focus=0)
    assert set(other.valid.tolist()) != set(first.valid.tolist())


def test_sequences_that_are_all_alike_are_held_out_one_by_one() -> None:
    codes = np.zeros((12, 30), dtype=np.uint8)
    codes[np.arange(12), np.arange(12)] = 1
    held = hold_out(codes, np.ones(12), hashes(codes), valid=0.1, test=0.1, seed=0, focus=5)
    assert held.alike
    assert len(held.valid) == len(held.test) == 1
    assert 5 in held.train
    with pytest.raises(DataError, match="at least 3 different sequences"):
        hold_out(codes[[0, 0, 1]], np.ones(3), hashes(codes[[0, 0, 1]]), valid=0.1, test=0.1, seed=0, focus=0)


@pytest.mark.parametrize("n", [3, 4, 7])
def test_every_split_of_few_sequences_has_one(n: int) -> None:
    codes = np.random.default_rng(n).integers(0, 20, (n, 12)).astype(np.uint8)
    for seed in range(5):
        held = hold_out(codes, np.ones(n), hashes(codes), valid=0.1, test=0.1, seed=seed, focus=0)
        assert 0 in held.train
        assert len(held.valid)
        assert len(held.test)


def test_one_family_larger_than_the_share_is_not_held_out() -> None:
    codes = many()
    codes[: len(codes) // 2] = codes[0]  # half the data are copies of the focus, in effect one sequence
    held = hold_out(codes, np.ones(len(codes)), hashes(codes), valid=0.1, test=0.1, seed=0, focus=len(codes) - 1)
    assert len(held.valid) <= 0.13 * len(codes)
    assert set(range(len(codes) // 2)) <= set(held.train.tolist())
