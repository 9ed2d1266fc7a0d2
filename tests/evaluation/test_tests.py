"""The statistics: tails, likelihood summaries, the two-sample test, memorization."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from headwater.errors import DataError, MissingExtraError
from headwater.evaluation.chance import binomial_tail, hypergeometric_tail, normal_tail, rank_sum_z, wilson_interval
from headwater.evaluation.likelihood import bits_per_dim, summarize
from headwater.evaluation.memorization import exact_copies, memorization
from headwater.evaluation.two_sample import classifier_two_sample


def normal(n: int, d: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def test_tails_against_scipy() -> None:
    assert normal_tail(1.5) == pytest.approx(scipy.stats.norm.sf(1.5))
    assert binomial_tail(7, 200, 0.01) == pytest.approx(scipy.stats.binom.sf(6, 200, 0.01))
    table = [[9, 91], [2, 148]]
    assert hypergeometric_tail(9, 100, 2, 150) == pytest.approx(scipy.stats.fisher_exact(table, "greater").pvalue)
    assert wilson_interval(3, 20) == pytest.approx(
        tuple(scipy.stats.binomtest(3, 20).proportion_ci(method="wilson")), abs=1e-4
    )


def test_rank_sum_against_scipy_with_ties() -> None:
    x, y = normal(60, 1, 0)[:, 0].round(1), normal(80, 1, 1, 0.3)[:, 0].round(1)
    p = scipy.stats.mannwhitneyu(x, y, alternative="less", method="asymptotic", use_continuity=False).pvalue
    assert normal_tail(-rank_sum_z(x, y)) == pytest.approx(p, rel=1e-6)
    assert rank_sum_z(np.ones(5), np.ones(4)) == 0.0


def test_bits_per_dim_by_hand() -> None:
    # a uniform density on [0, 1)^D of pixels divided by 256: 8 bits for each
    assert bits_per_dim(0.0, 3072, spacing=1 / 256) == pytest.approx(8.0)
    # 3 nats of log-density there: 8 - 3 / (3072 ln 2)
    assert bits_per_dim(3.0, 3072, spacing=1 / 256) == pytest.approx(8 - 3 / (3072 * math.log(2)))
    # a fair coin for each of 10 elements: 1 bit
    assert bits_per_dim(10 * math.log(0.5), 10) == pytest.approx(1.0)


def test_a_summary_has_the_standard_error_of_the_mean() -> None:
    found = summarize(
        np.array([-1.0, -2.0, -3.0, -6.0]),
        kind="estimate",
        dims=2,
        split="test",
        conditional=False,
        stderr=np.array([0.3, 0.4, 0.0, 0.0]),
    )
    assert found.mean == -3.0
    assert found.stderr == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))
    assert found.estimator_stderr == pytest.approx(0.5 / 4)
    assert found.bits_per_dim == pytest.approx(3 / (2 * math.log(2)))


def test_impossible_events_are_counted_and_what_is_no_number_is_refused() -> None:
    known = {"kind": "exact", "dims": 1, "split": "test", "conditional": False}
    found = summarize(np.array([-1.0, -np.inf]), **known)
    assert found.mean is None
    assert found.impossible == 1
    for wrong in (np.nan, np.inf):
        with pytest.raises(DataError, match="1 of them not numbers"):
            summarize(np.array([-1.0, wrong]), **known)


@pytest.mark.parametrize("classifier", ["boosting", "logistic"])
def test_two_sample(classifier: str) -> None:
    null = classifier_two_sample(normal(400, 3, 0), normal(400, 3, 1), classifier=classifier)
    assert abs(null.accuracy - 0.5) < 4 * 0.5 / 800**0.5
    assert null.p_value > 1e-4
    apart = classifier_two_sample(normal(400, 3, 0), normal(300, 3, 1, 6.0), classifier=classifier)
    assert apart.auc > 0.98
    assert apart.p_value < 1e-20
    assert apart.n == 300


def test_two_sample_names_the_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(MissingExtraError, match="pip install 'headwater"):
        classifier_two_sample(normal(40, 1, 0), normal(40, 1, 1))


def test_exact_copies() -> None:
    train = np.array([[1.0, np.nan], [0.0, 2.0]])
    rows = np.array([[1.0, np.nan], [-0.0, 2.0], [1.0, 2.0]])
    assert exact_copies(rows, train) == 2
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2)
    assert exact_copies(pixels[:1], pixels) == 1


def test_memorization_passes_fresh_samples() -> None:
    flagged = 0
    for seed in range(20):
        found = memorization(normal(500, 4, 3 * seed), normal(200, 4, 3 * seed + 1), normal(200, 4, 3 * seed + 2))
        flagged += found.verdict != "none found"
        assert found.copies == 0
    assert flagged == 0


def test_memorization_flags_copies_and_near_copies() -> None:
    train, held_out = normal(500, 4, 0), normal(200, 4, 1)
    mixed = np.concatenate([train[:20], normal(180, 4, 2)])
    copies = memorization(train, held_out, mixed)
    assert copies.copies == 20
    assert copies.verdict == "copies"
    near = memorization(train, held_out, train[:200] + 0.05 * normal(200, 4, 3))
    assert near.copies == 0
    assert near.verdict == "too close"
    assert near.z < -10
    assert near.authentic < near.held_out_authentic


def test_small_alphabets_repeat_without_being_memorized() -> None:
    train, held_out, fake = (np.random.default_rng(s).integers(0, 2, (300, 4)).astype(float) for s in range(3))
    found = memorization(train, held_out, fake)
    assert found.copies == found.held_out_copies == 300
    assert found.verdict == "none found"
