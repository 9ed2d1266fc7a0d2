from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headwater.errors import CheckpointError, DataError, UnsafeFileError
from headwater.evaluation import extractors
from headwater.evaluation.columns import Column
from headwater.evaluation.spaces import ColumnSpace, PixelSpace


def pictures(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Stripes upright (0) or level (1), with noise."""
    r = np.random.default_rng(seed)
    labels = r.integers(0, 2, n)
    stripes = np.tile(np.arange(8) % 2, (8, 1))
    clean = np.where(labels[:, None, None] == 1, stripes.T, stripes)[:, None] * 120
    return (clean + r.integers(0, 100, clean.shape)).astype(np.uint8), labels


def test_columns_are_at_the_distances_promised() -> None:
    train = np.array([[0.0, 0.0], [2.0, 1.0], [np.nan, 2.0], [4.0, np.nan]])
    space = ColumnSpace((Column("x", "number"), Column("c", "category", ("p", "q", "r"))), train)
    rows = np.array([[2.0, 0.0], [2.0, 1.0], [np.nan, 0.0], [2.0, np.nan]])
    vectors = space.vectors(rows).astype(np.float64)
    gaps = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    np.testing.assert_allclose(gaps[0], [0, 1, 1, 1], rtol=1e-6)
    scale = train[[0, 1, 3], 0].std()
    assert np.linalg.norm(space.vectors(np.array([[2.0 + scale, 0.0]])) - vectors[0]) == pytest.approx(1.0, rel=1e-5)


def test_rare_categories_share_a_place() -> None:
    codes = np.concatenate([np.repeat(np.arange(63.0), 2), np.arange(63.0, 200.0)])[:, None]
    space = ColumnSpace((Column("c", "category", tuple(map(str, range(200)))),), codes)
    vectors = space.vectors(np.array([[1.0], [2.0], [100.0], [150.0]]))
    assert vectors.shape[1] == 64
    assert (vectors[2] == vectors[3]).all()
    assert (vectors[0] != vectors[1]).any()


def test_large_pictures_are_pooled() -> None:
    raw = np.random.default_rng(0).integers(0, 255, (4, 3, 40, 20)).astype(np.uint8)
    assert PixelSpace(raw).vectors(raw).shape == (4, 3 * 16 * 16)
    assert PixelSpace(raw).inputs(raw).mean() == pytest.approx(0, abs=1e-5)


def test_the_classifier_learns_and_is_the_same_again() -> None:
    raw, labels = pictures(300)
    space = PixelSpace(raw)
    first = extractors.classifier(space, raw, labels, steps=60)
    extractors._trained.clear()
    second = extractors.classifier(space, raw, labels, steps=60)
    other = extractors.classifier(space, raw, labels, steps=60, seed=1)
    fresh, truth = pictures(100, 1)
    assert (first.labels(fresh) == truth).mean() > 0.98
    assert first.fingerprint == second.fingerprint != other.fingerprint
    features = first.features(raw)
    assert features.dtype == np.float64
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-6)
    with pytest.raises(DataError, match="two labels"):
        extractors.classifier(space, raw, np.zeros(300, dtype=np.int64))


def test_random_features_leave_the_global_generator_alone() -> None:
    import torch

    raw, _ = pictures(50)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one = extractors.random_features(PixelSpace(raw), raw)
    assert torch.equal(before, torch.random.get_rng_state())
    assert one.fingerprint == extractors.random_features(PixelSpace(raw), raw).fingerprint
    assert one.fingerprint != extractors.identity(PixelSpace(raw), raw).fingerprint


def test_a_users_weights_come_back_and_others_are_refused(tmp_path: Path) -> None:
    raw, labels = pictures(100)
    space = PixelSpace(raw)
    own = extractors.classifier(space, raw, labels, steps=5)
    path = tmp_path / "net.safetensors"
    extractors.write_weights(own, path)
    again = extractors.user_weights(space, raw, path)
    np.testing.assert_array_equal(again.features(raw), own.features(raw))
    wide = np.zeros((4, 1, 30, 30), np.uint8)
    with pytest.raises(CheckpointError, match="do not fit"):
        extractors.user_weights(PixelSpace(wide), wide, path)
    (tmp_path / "x.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises((CheckpointError, UnsafeFileError)):
        extractors.user_weights(space, raw, tmp_path / "x.pt")
