from __future__ import annotations

import numpy as np
import pytest
import torch

from headwater.errors import DataError
from headwater.evaluation import distances
from headwater.evaluation.arrays import as_features, as_pair
from headwater.evaluation.frechet import Moments, frechet_distance, frechet_of_moments
from headwater.evaluation.kernel import kernel_distance, median_distance, unbiased_mmd2
from headwater.evaluation.manifold import manifold_scores


def normal(n: int, d: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_features_are_checked_at_the_border() -> None:
    with pytest.raises(DataError, match="1 of 2 rows"):
        as_features(np.array([[0.0], [np.nan]]))
    with pytest.raises(DataError, match="3 and 2"):
        as_pair(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(DataError, match="at least 2 rows"):
        as_pair(np.zeros((1, 3)), np.zeros((4, 3)))


def test_nearest_equals_brute_force_in_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = normal(37, 5, 1, 100.0), normal(53, 5, 2, 100.0)
    brute = np.sort(np.linalg.norm(x[:, None] - y[None], axis=2), axis=1)[:, :3]
    monkeypatch.setattr(distances, "_CHUNK_BYTES", 8 * 53 * 4)
    found = distances.nearest(x, y, 3)
    np.testing.assert_allclose(found.distance, brute, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(x[:, None] - y[found.row], axis=2), found.distance, rtol=1e-9)


def test_a_row_is_not_its_own_neighbour_but_its_twin_is_at_zero() -> None:
    x = np.concatenate([normal(10, 3, shift=50.0), normal(10, 3, shift=50.0)])
    found = distances.nearest(x, x, 1, exclude_self=True)
    assert (found.distance == 0).all()
    assert (found.row[:, 0] == (np.arange(20) + 10) % 20).all()


def test_frechet_of_gaussians_is_the_closed_form() -> None:
    # diagonal covariances commute: d^2 = |m|^2 + sum (s - t)^2
    a = Moments(101, np.zeros(3), np.diag([1.0, 4.0, 9.0]) * 100)
    b = Moments(101, np.array([1.0, 0.0, 2.0]), np.diag([4.0, 4.0, 1.0]) * 100)
    assert frechet_of_moments(a, b) == pytest.approx(5 + 1 + 0 + 4, abs=1e-10)


def test_frechet_of_general_covariances_solves_the_transport() -> None:
    # C_b C_a has the eigenvalues of C_a^1/2 C_b C_a^1/2, found here without any square root of a matrix
    a, b = normal(6, 6, 3), normal(6, 6, 4)
    first, second = a @ a.T + np.eye(6), b @ b.T + np.eye(6)
    roots = np.sqrt(np.linalg.eigvals(second @ first).real).sum()
    expected = np.trace(first) + np.trace(second) - 2 * roots
    zero = np.zeros(6)
    found = frechet_of_moments(Moments(2, zero, first), Moments(2, zero, second))
    assert found == pytest.approx(expected, rel=1e-9)


def test_moments_do_not_depend_on_the_batches() -> None:
    x = normal(100, 4, shift=1e4)
    whole = Moments.of(x)
    parts = Moments.of(x[:7]).joined(Moments.of(x[7:30])).joined(Moments.of(x[30:]))
    np.testing.assert_allclose(parts.covariance, np.cov(x.T), rtol=1e-7)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-7)
    assert parts.n == 100


def test_frechet_is_real_and_zero_when_rows_are_fewer_than_columns() -> None:
    x = normal(5, 40)
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(torch.from_numpy(x), normal(5, 40, 1)) > 1.0


def test_mmd_by_hand() -> None:
    x, y = np.array([[0.0], [1.0]]), np.array([[2.0], [1.0]])
    # k(a, b) = (ab + 1)^3: k(0,1) = 1; k(2,1) = 27; cross: 1, 1, 27, 8
    assert unbiased_mmd2(x, y) == pytest.approx(1 + 27 - 2 * (1 + 1 + 27 + 8) / 4)


def test_the_kernel_distance_has_mean_zero_under_the_null() -> None:
    for kernel in ("cubic", "gaussian"):
        found = [kernel_distance(normal(100, 3, 2 * s), normal(100, 3, 2 * s + 1), kernel=kernel) for s in range(24)]
        values = np.array([f.value for f in found])
        assert abs(values.mean()) < 3.5 * values.std(ddof=1) / 24**0.5
        assert 0.8 < np.mean([f.stderr for f in found]) / values.std(ddof=1) < 2.0
        apart = kernel_distance(normal(200, 3), normal(200, 3, 9, 1.0), kernel=kernel)
        assert apart.value > 6 * apart.stderr


def test_the_jackknife_gives_the_spread_between_draws_where_the_sets_differ() -> None:
    found = [kernel_distance(normal(100, 2, 2 * s), normal(80, 2, 2 * s + 1, 0.7), width=1.0) for s in range(60)]
    spread = np.array([f.value for f in found]).std(ddof=1)
    assert np.mean([f.stderr for f in found]) == pytest.approx(spread, rel=0.3)
    x, y = normal(30, 2), normal(40, 2, 1)
    assert kernel_distance(x, y).value == pytest.approx(unbiased_mmd2(x, y))


def test_median_distance() -> None:
    assert median_distance(np.zeros((3, 1)), np.zeros((3, 1))) == 1.0
    assert median_distance(np.array([[0.0], [1.0]]), np.array([[3.0], [7.0]])) == pytest.approx(12.5**0.5)


def test_manifold_by_hand() -> None:
    real = np.array([[0.0], [1.0], [10.0]])  # radii with k=1: 1, 1, 9
    fake = np.array([[0.5], [1.5], [30.0], [31.0]])  # radii: 1, 1, 1, 1
    found = manifold_scores(real, fake, k=1)
    # 0.5 lies in balls of 0 and 1, and not of 10 (9.5 > 9); 1.5 in those of 1 and 10 (8.5); the others in none
    assert found.precision == 0.5
    assert found.density == pytest.approx(4 / 4)
    assert found.recall == pytest.approx(2 / 3)  # 0 and 1 are within 1 of 0.5; 10 of nothing
    assert found.coverage == 1.0  # 0: 0.5; 1: 0.5; 10: 1.5


def test_manifold_of_the_same_and_of_separate_sets() -> None:
    x = normal(300, 2)
    same = manifold_scores(x, x.copy())
    assert same.precision == same.recall == same.coverage == 1.0
    assert manifold_scores(x, normal(300, 2, 1, 50.0)) == (0.0, 0.0, 0.0, 0.0)
    null = manifold_scores(x, normal(300, 2, 1))
    assert null.density == pytest.approx(1.0, abs=0.2)
    assert null.coverage == pytest.approx(1 - 0.5**5, abs=0.06)  # Naeem et al., equation 9 for n = m
