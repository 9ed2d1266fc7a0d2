"""The mixture against known parameters and scikit-learn; classes, their uncertainty, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from headwater.applications.variants import NOTICE
from headwater.applications.variants.classes import Classifier, classify, entropy, fit_classes
from headwater.applications.variants.mixture import Component, Mixture, fit_mixture
from headwater.applications.variants.table import VariantScores
from headwater.errors import DataError, UsageError

NAN = float("nan")


def draws(seed: int, n: int = 4000, low: float = -8.0, share: float = 0.6) -> np.ndarray:
    random = np.random.default_rng(seed)
    bad = random.random(n) < share
    return np.where(bad, random.normal(low, 2.0, n), random.normal(-1.0, 1.0, n))


def table(protein: str, score: np.ndarray, names: tuple[str, ...] | None = None) -> VariantScores:
    status = tuple("scored" if np.isfinite(s) else "not modelled" for s in score)
    names = names or tuple(f"A{i}C" for i in range(len(score)))
    return VariantScores(protein, names, status, score, score * 0, score * 0)


def test_parameters_are_found() -> None:
    found = fit_mixture(draws(0, n=20_000))
    assert found.pathogenic.weight == pytest.approx(0.6, abs=0.02)
    assert found.pathogenic.mean == pytest.approx(-8, abs=0.15)
    assert found.pathogenic.variance == pytest.approx(4, abs=0.3)
    assert found.benign.mean == pytest.approx(-1, abs=0.1)
    assert found.gain > 1000
    assert found.separation == pytest.approx(7 / np.sqrt(2.5), abs=0.2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_as_likely_as_the_library(seed: int) -> None:
    x = draws(seed, low=-4.0, share=0.3)
    ours = fit_mixture(x)
    theirs = GaussianMixture(2, n_init=5, tol=1e-9, max_iter=5000, random_state=0).fit(x[:, None])
    low = int(theirs.means_[:, 0].argmin())
    assert ours.pathogenic.mean == pytest.approx(theirs.means_[low, 0], abs=0.02)
    assert ours.pathogenic.weight == pytest.approx(theirs.weights_[low], abs=0.01)
    np.testing.assert_allclose(ours.probability(x, monotone=False), theirs.predict_proba(x[:, None])[:, low], atol=0.02)


def test_deterministic_equivariant_and_grouped() -> None:
    x = draws(4)
    first, again = fit_mixture(x), fit_mixture(x[::-1].copy())
    assert first.pathogenic.mean == pytest.approx(again.pathogenic.mean, rel=1e-6)
    moved = fit_mixture(1000 * x + 5)
    assert moved.pathogenic.mean == pytest.approx(1000 * first.pathogenic.mean + 5, rel=1e-5)
    many = draws(5, n=200_000)
    grouped = fit_mixture(many)
    assert grouped.benign.mean == pytest.approx(fit_mixture(many[:60_000]).benign.mean, abs=0.05)
    assert grouped.benign.variance == pytest.approx(1, abs=0.03)


def test_a_better_score_is_never_more_pathogenic() -> None:
    wide = Mixture(
        pathogenic=Component(weight=0.5, mean=-8, variance=9), benign=Component(weight=0.5, mean=-1, variance=0.25)
    )
    x = np.linspace(-30, 30, 601)
    p = wide.probability(x)
    assert (np.diff(p) <= 1e-12).all()
    assert p[-1] < 0.1
    assert wide.probability(x, monotone=False)[-1] > 0.99  # the formula as it stands
    narrow = Mixture(
        pathogenic=wide.benign.model_copy(update={"mean": -8.0}),
        benign=Component(**{**wide.pathogenic.model_dump(), "mean": -1.0}),
    )
    p = narrow.probability(x)
    assert (np.diff(p) <= 1e-12).all()
    assert p[0] > 0.9
    assert np.isnan(wide.probability(np.array([NAN]))).all()


def test_one_protein_is_local_and_says_so() -> None:
    found = fit_classes([table("P", draws(6))])
    assert found.shared is None
    assert "fewer than 20 proteins" in found.notes[0]
    classes = classify(table("P", np.array([-12.0, -8.0, 0.0, NAN])), found)
    assert classes.extras["class"].tolist() == ["pathogenic", "pathogenic", "benign", ""]
    assert np.isnan(classes.extras["uncertainty"][3])
    with pytest.raises(DataError, match="no class parameters of the protein 'Q'"):
        classify(table("Q", draws(6)), found)


def test_many_proteins_are_global_too() -> None:
    tables = [table(f"P{i}", draws(i, n=300)) for i in range(20)]
    found = fit_classes(tables)
    assert found.shared is not None
    assert found.notes == ()
    score = np.array([-4.5, -4.0])
    expected = 0.7 * found.shared.probability(score) + 0.3 * found.local["P3"].probability(score)
    np.testing.assert_allclose(found.probability("P3", score), expected)
    np.testing.assert_allclose(found.probability("new", score), found.shared.probability(score))
    few = fit_classes([*tables[:2], table("small", draws(99, n=10))], together=True)
    assert "small" not in few.local
    assert any("too few for a mixture of its own" in note for note in few.notes)
    assert fit_classes(tables[:1], shared=found.shared).shared == found.shared


@pytest.mark.parametrize("retained", [0.1, 0.25, 0.5, 0.75, 1.0])
def test_the_share_is_retained(retained: float) -> None:
    scores = table("P", draws(7, low=-5.0))
    found = classify(scores, fit_classes([scores]), retained=retained)
    assert np.mean(found.extras["class"] != "uncertain") >= retained  # beyond the turning point all are tied
    found = classify(scores, fit_classes([scores], monotone=False), retained=retained)
    assert np.mean(found.extras["class"] != "uncertain") == pytest.approx(retained, abs=0.002)
    uncertain = found.extras["class"] == "uncertain"
    assert found.extras["uncertainty"][uncertain].min(initial=9) > found.extras["uncertainty"][~uncertain].max()


def test_eves_thresholds() -> None:
    x = np.linspace(-10, 2, 5000)
    found = fit_classes([table("P", draws(8))])
    classes = classify(table("P", x), found, rule="eve")
    p = classes.extras["pathogenic_probability"]
    inside = (p > 0.3205) & (p < 0.6795)
    assert (classes.extras["class"][inside] == "uncertain").all()
    outside = (p < 0.3203) | (p > 0.6797)
    assert (classes.extras["class"][outside] != "uncertain").all()
    with pytest.raises(UsageError, match=r"It has: 0\.25, 0\.5, 0\.75"):
        classify(table("P", x), found, rule="eve", retained=0.9)
    with pytest.raises(UsageError, match="between 0 and 1"):
        classify(table("P", x), found, retained=7.5)


def test_the_wild_type_is_no_variant() -> None:
    x = draws(9, n=100)
    names = (*(f"A{i}C" for i in range(98)), "WT", "A24=")
    x[98:] = 1e6
    found = fit_classes([table("P", x, names)])
    assert found.scores == 98
    assert found.local["P"].benign.mean < 5


def test_parameters_are_json(tmp_path: Path) -> None:
    found = fit_classes([table("P", draws(10))])
    path = found.write(tmp_path / "classes.json")
    assert Classifier.read(path) == found
    content = json.loads(path.read_text())
    assert (content["version"], content["notice"]) == (1, NOTICE)
    with pytest.raises(UsageError, match="exists already"):
        found.write(path)
    with pytest.raises(UsageError, match=r"Use \.json"):
        found.write(tmp_path / "classes.pkl")
    for key, value in (("version", 2), ("share", 7), ("more", 1)):
        path.write_text(json.dumps({**content, key: value}))
        with pytest.raises(DataError, match=f"does not hold class parameters.*{key}"):
            Classifier.read(path)
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(DataError, match="does not hold class parameters"):
        Classifier.read(path)


def test_refused() -> None:
    with pytest.raises(DataError, match=r"at least 40 scored variants.*got 39"):
        fit_mixture(draws(0)[:39])
    with pytest.raises(DataError, match="All 50 scores are -2"):
        fit_mixture(np.full(50, -2.0))
    with pytest.raises(DataError, match="finite"):
        fit_mixture(np.append(draws(0), NAN))
    with pytest.raises(DataError, match="comes twice"):
        fit_classes([table("P", draws(0)), table("P", draws(0))])
    with pytest.raises(DataError, match="got none"):
        fit_classes([])
    with pytest.raises(DataError, match="none of 3 variants has a score"):
        fit_classes([table("P", np.full(3, NAN))])


def test_no_two_groups_is_said() -> None:
    one = np.random.default_rng(3).normal(-5, 2, 3000)
    found = fit_classes([table("P", one)])
    assert any("do not rely on the classes" in note for note in found.notes)


def test_a_class_that_disappears_is_said() -> None:
    random = np.random.default_rng(0)
    few = np.concatenate([random.normal(-6, 0.6, 600), random.normal(-2.1, 1.7, 3400)])
    found = fit_classes([table("P", few)])
    classes = classify(table("P", few), found).extras["class"]
    told = any("none is called pathogenic" in note for note in found.notes)
    assert told == ("pathogenic" not in classes)
    assert told


def test_hard_ties_do_not_break_it() -> None:
    x = np.array([0.0] * 500 + [-5.0] * 300 + [-5.1] * 10)
    found = fit_mixture(x)
    assert found.pathogenic.mean == pytest.approx(-5, abs=0.1)
    assert np.isfinite(found.probability(x)).all()
    spike = fit_mixture(np.append(np.zeros(100), 1.0))
    assert np.isfinite(spike.probability(np.array([-1.0, 0.0, 1.0]))).all()


def test_entropy() -> None:
    p = np.linspace(0, 1, 11)
    assert entropy(p).argmax() == 5
    assert entropy(p)[[0, 10]].tolist() == [0, 0]
