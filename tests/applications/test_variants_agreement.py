"""Figures against independent formulas, their bootstrap against plain resampling, and what is not given."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from headwater.applications.variants.agreement import (
    agreement_table,
    agreement_with_assay,
    agreement_with_labels,
    between,
    difference,
)
from headwater.applications.variants.resampling import Ranked, auc, mcc, ndcg, recall, spearman, spearman_of, weights
from headwater.errors import DataError


def pair(n: int, *, ties: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    a = random.normal(size=n)
    b = a + random.normal(size=n)
    return (np.round(a, 1), np.round(b)) if ties else (a, b)


def plain_ndcg(score: np.ndarray, measured: np.ndarray, share: float) -> float:
    k = int(share * len(score))
    gains = (measured - measured.min()) / (measured.max() - measured.min())
    at = 1 / np.log2(np.arange(k) + 2)
    return float((gains[np.argsort(-score)][:k] * at).sum() / (np.sort(gains)[::-1][:k] * at).sum())


@pytest.mark.parametrize("ties", [False, True])
def test_spearman_and_auc(ties: bool) -> None:
    a, b = pair(300, ties=ties)
    assert spearman_of(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-10)
    label = b > 0
    found = agreement_with_labels(a, ~label, draws=50)
    assert found.value == pytest.approx(metrics.roc_auc_score(label, a), abs=1e-10)


def test_others_without_ties() -> None:
    a, b = pair(300, ties=False)
    spear, gain, matthews, best = agreement_with_assay(a, b, draws=20)
    assert spear.value == pytest.approx(stats.spearmanr(a, b).statistic)
    assert gain.value == pytest.approx(plain_ndcg(a, b, 0.1))
    assert matthews.value == pytest.approx(metrics.matthews_corrcoef(b > np.median(b), a > np.median(a)))
    top_a, top_b = (set(np.argsort(-v)[:30].tolist()) for v in (a, b))
    assert best.value == pytest.approx(len(top_a & top_b) / 30)


@pytest.mark.parametrize("ties", [False, True])
def test_weights_are_resampling(ties: bool) -> None:
    a, b = pair(80, ties=ties, seed=1)
    counts = next(weights(80, 6, seed=3))
    assert (counts.sum(axis=1) == 80).all()
    label = (b > 0).astype(float)
    ra, rb, one = Ranked(a), Ranked(b), np.ones((1, 80))
    for row in counts:
        rows = np.repeat(np.arange(80), row.astype(int))
        x, y, some = Ranked(a[rows]), Ranked(b[rows]), row[None]
        for weighted, drawn in (
            (spearman(ra, rb), spearman(x, y)),
            (mcc(ra, rb), mcc(x, y)),
            (recall(ra, rb, 0.1), recall(x, y, 0.1)),
            (ndcg(ra, rb, 0.1), ndcg(x, y, 0.1)),
            (auc(ra, label), auc(x, label[rows])),
        ):
            np.testing.assert_allclose(weighted(some), drawn(one), atol=1e-12)
        assert spearman(ra, rb)(some)[0] == pytest.approx(stats.spearmanr(a[rows], b[rows]).statistic)


def test_interval_covers() -> None:
    inside = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        a = random.normal(size=200)
        b = 0.7 * a + np.sqrt(1 - 0.49) * random.normal(size=200)
        found = agreement_with_assay(a, b, draws=200, seed=seed)[0]
        truth = 6 / np.pi * np.arcsin(0.35)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    assert inside >= 50


def test_seeded_and_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = pair(100, ties=True)
    first = agreement_with_assay(a, b, draws=100, seed=5)
    assert first == agreement_with_assay(a, b, draws=100, seed=5)
    assert first != agreement_with_assay(a, b, draws=100, seed=6)
    monkeypatch.setattr("headwater.applications.variants.resampling._AT_ONCE", 700)
    assert first == agreement_with_assay(a, b, draws=100, seed=5)


def test_labels_are_too_few() -> None:
    score = np.arange(114.0)
    found = agreement_with_labels(score, score > 1)
    assert found.value is None
    assert str(found) == "AUC not given: 2 benign labels, 5 of each kind are needed"
    assert "1 benign label," in agreement_with_labels(score, score > 0).note
    both = agreement_with_labels(score[:6], score[:6] > 2)
    assert "3 benign labels and 3 pathogenic labels" in both.note


def test_labels_keep_their_numbers_and_direction() -> None:
    score = np.array([5.0, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5.5])
    pathogenic = np.arange(11) >= 5
    found = agreement_with_labels(score, pathogenic, draws=100)
    assert found.value == pytest.approx(29 / 30)
    assert found.note == "5 benign, 6 pathogenic"
    assert 0.7 < found.low <= found.value <= found.high == 1
    assert agreement_with_labels(-score, pathogenic, draws=10).value == pytest.approx(1 / 30)


def test_heavy_ties_at_an_end_have_a_split() -> None:
    measured = np.array([0.0] * 70 + list(range(1, 31)))
    score = np.arange(100.0)
    assert agreement_with_assay(score, measured, draws=10)[2].value == pytest.approx(np.sqrt(0.3 * 0.5 / (0.7 * 0.5)))
    top = np.array(list(range(30)) + [99.0] * 70)
    assert agreement_with_assay(score, top, draws=10)[2].value is not None
    assert np.isfinite(agreement_with_assay(score, top, draws=10)[2].value)


def test_difference_is_paired() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(size=2000)
    common = truth + random.normal(size=2000)
    good, worse = common, common + 0.5 * random.normal(size=2000)
    found = difference(good, worse, truth, draws=200)
    one, two = (agreement_with_assay(s, truth, draws=200)[0] for s in (good, worse))
    assert found.value == pytest.approx(one.value - two.value)
    assert found.low > 0
    assert found.high - found.low < (one.high - one.low)
    assert "constant" in difference(good, worse * 0, truth).note


def test_between_members() -> None:
    a, b = pair(50, ties=False)
    a[3], b[7] = np.nan, np.nan
    kept = np.isfinite(a) & np.isfinite(b)
    assert between(a, b) == pytest.approx(stats.spearmanr(a[kept], b[kept]).statistic)
    assert np.isnan(between(a[:2], b[:2]))


def test_not_given_and_refused() -> None:
    short = agreement_with_assay(np.arange(9.0), np.arange(9.0))
    assert short[0].note == "Spearman not given: 9 measured variants, 10 are needed"
    flat = agreement_with_assay(np.zeros(20), np.arange(20.0))
    assert [f.value for f in flat] == [None] * 4
    assert "all 20 scores are equal" in flat[1].note
    with pytest.raises(DataError, match="1 of 20 lack one"):
        agreement_with_assay(np.append(np.arange(19.0), np.nan), np.arange(20.0))


def test_table() -> None:
    a, b = pair(60, ties=False)
    text = agreement_table({"counting": agreement_with_assay(a, b, draws=50), "flat": agreement_with_assay(a * 0, b)})
    assert "Spearman" in text.splitlines()[0]
    assert "MCC not given: all 60 scores are equal" in text
