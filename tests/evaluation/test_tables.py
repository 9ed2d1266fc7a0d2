from __future__ import annotations

import numpy as np
import pytest

from headwater.errors import DataError
from headwater.evaluation.columns import (
    Column,
    column_similarity,
    contingency_similarity,
    correlation_similarity,
    ks_complement,
    pair_similarities,
    total_variation_complement,
)
from headwater.evaluation.utility import utility

COLUMNS = (Column("x", "number"), Column("y", "number"), Column("c", "category", ("p", "q")))


def table(n: int, seed: int, slope: float = 1.0) -> np.ndarray:
    r = np.random.default_rng(seed)
    x = r.normal(size=n)
    return np.stack([x, slope * x + 0.3 * r.normal(size=n), (x > 0).astype(float)], axis=1)


def test_ks_by_hand() -> None:
    # F jumps at 1, 2, 3, 4 and G at 3, 4, 5, 6: the widest gap is 1/2
    assert ks_complement(np.arange(1.0, 5.0), np.arange(3.0, 7.0)) == 0.5
    assert ks_complement(np.arange(5.0), np.arange(5.0)) == 1.0
    assert ks_complement(np.zeros(3), np.ones(3)) == 0.0


def test_a_wrong_share_of_missing_values_counts() -> None:
    real, fake = np.array([np.nan, 1.0, 2.0, 3.0]), np.array([np.nan, np.nan, np.nan, 2.0])
    assert ks_complement(real, fake) == 0.5
    assert total_variation_complement(np.array([0.0, 0.0]), np.array([0.0, np.nan])) == 0.5


def test_total_variation_by_hand() -> None:
    real, fake = np.array([0.0] * 5 + [1.0] * 3 + [2.0] * 2), np.array([0.0] * 2 + [1.0] * 3 + [3.0] * 5)
    assert total_variation_complement(real, fake) == pytest.approx(1 - 0.5 * (0.3 + 0 + 0.2 + 0.5))


def test_contingency_sees_what_columns_do_not() -> None:
    same = np.array([[0.0, 0.0], [1.0, 1.0]])
    crossed = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert contingency_similarity(same, crossed) == 0.0
    assert total_variation_complement(same[:, 0], crossed[:, 0]) == 1.0


def test_correlation_by_hand() -> None:
    up = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [np.nan, -9.0]])
    assert correlation_similarity(up, up * [1, -1]) == pytest.approx(0.0)
    assert correlation_similarity(up, np.array([[0.0, 1.0], [1.0, 1.0]])) == pytest.approx(0.5)  # constant: 0


def test_fidelity_of_a_table_and_its_shape_is_checked() -> None:
    real, fake = table(2000, 0), table(2000, 1)
    assert min(column_similarity(COLUMNS, real, fake).values()) > 0.95
    assert min(pair_similarities(COLUMNS, real, fake).values()) > 0.9
    pairs = pair_similarities(COLUMNS, real, table(2000, 1, slope=-1.0))
    assert pairs["x", "y"] < 0.1 < 0.9 < pairs["x", "c"]
    with pytest.raises(DataError, match="3 columns"):
        column_similarity(COLUMNS, real[:, :2], fake[:, :2])


def test_utility_of_good_and_of_useless_rows() -> None:
    real, held_out = table(600, 0), table(600, 1)
    good = utility(COLUMNS, 1, real, table(600, 2), held_out)
    bad = utility(COLUMNS, 1, real, table(600, 2, slope=0.0), held_out)
    assert good.synthetic["r2"] == pytest.approx(good.real["r2"], abs=0.05)
    assert good.real["r2"] > 0.85 > 0.2 > bad.synthetic["r2"]
    classes = utility(COLUMNS, 2, real, table(600, 2), held_out)
    assert classes.synthetic["f1"] > 0.95
    assert classes.synthetic["auc"] > 0.98


def test_utility_of_a_collapsed_generator_is_a_score_and_no_crash() -> None:
    fake = table(200, 2)
    fake[:, 2] = 1.0
    found = utility(COLUMNS, 2, table(200, 0), fake, table(200, 1))
    assert found.synthetic["auc"] == 0.5
    assert 0.2 < found.synthetic["f1"] < 0.4
    fake[:, 2] = np.nan
    with pytest.raises(DataError, match="missing in all rows"):
        utility(COLUMNS, 2, table(200, 0), fake, table(200, 1))
