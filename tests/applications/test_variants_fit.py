"""An ensemble of a made-up family: fitted, scored, gone on with; and a queue of several."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from headwater.applications.variants.agreement import between
from headwater.applications.variants.ensemble import Ensemble, ensembles_in
from headwater.applications.variants.evaluation import compare_with
from headwater.applications.variants.fit import fit_protein
from headwater.applications.variants.labels import read_assay, read_labels
from headwater.applications.variants.queue import Shard, alignments_in, fit_folder
from headwater.errors import DataError, UsageError
from headwater.runs.lock import RunLock
from tests.families import Family, write_family
from tests.launcher import under_torchrun
from tests.sandbox import run_command

SMALL = {"vae": {"model": {"encoder": [32], "decoder": [8, 16], "latent": 4}}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("variants")
    write_family(folder, length=24)
    return folder


@pytest.fixture(scope="module")
def family(place: Path) -> Family:
    return Family(length=24)


@pytest.fixture(scope="module")
def ensemble(place: Path) -> Ensemble:
    return fit_protein(place / "family.a2m", place / "toy", seeds=2, steps=40, per_kind=SMALL)


def test_every_kind_is_fitted_and_finds_the_true_effects(ensemble: Ensemble, family: Family) -> None:
    assert [member.name for member in ensemble.members] == ["counting", "sites", "potts", "pairwise", "vae-0", "vae-1"]
    assert sum(member.share for member in ensemble.members) == pytest.approx(1.0)
    scores, truth = ensemble.score(), family.effects()
    measured = np.array([truth[name] for name in scores.variants])
    assert between(scores.score, measured) > 0.85
    for values in scores.members.values():
        assert between(values, measured) > 0.8


def test_held_out_likelihoods_are_those_of_likely_sequences(ensemble: Ensemble) -> None:
    kinds = {member.name: (member.nats, member.nats_kind) for member in ensemble.members}
    assert kinds["counting"][1] == kinds["pairwise"][1] == "exact"
    assert kinds["vae-0"][1] == "lower bound"
    assert kinds["potts"][1] == "pseudo-likelihood"
    assert all(nats is not None and -np.log(20) < nats < 0 for nats, _ in kinds.values())


def test_errors_of_draws_reach_the_tolerance_and_exact_members_have_none(ensemble: Ensemble) -> None:
    scores = ensemble.score(["A1C", "A1D", "A1C:A1A"], tolerance=0.2)
    assert scores.status[:2] == ("scored", "scored")
    assert "twice" in scores.status[2]
    typical = float(ensemble.weights @ [member.spread for member in ensemble.members])
    assert (scores.stderr[:2] <= 0.2 * typical).all()
    assert (scores.stderr[:2] > 0).all()


def test_a_score_does_not_depend_on_what_is_scored_with_it(ensemble: Ensemble) -> None:
    alone, together = ensemble.score(["A1C"]), ensemble.score(["A1D", "A1C", "nonsense"])
    assert together.score[1] == pytest.approx(alone.score[0], abs=1e-5)
    assert np.isnan(together.score[2])


def test_the_wild_type_scores_zero_and_multiples_are_scored(ensemble: Ensemble, family: Family) -> None:
    second = family.target[1]
    scores = ensemble.score(["A1=", f"A1C:{second}2{'W' if second != 'W' else 'Y'}"])
    assert scores.score[0] == pytest.approx(0.0, abs=1e-5)
    assert scores.status[1] == "scored"


def test_files_are_compared_with_counting_beside(ensemble: Ensemble, place: Path) -> None:
    scores = ensemble.score()
    against = compare_with(scores, read_assay(place / "assay.csv"))
    assert {"ensemble", "counting", "potts"} <= set(against.figures)
    assert against.gain is not None
    assert "ensemble minus counting" in str(against)
    clinical = compare_with(scores, read_labels(place / "labels.csv"))
    assert clinical.figures["ensemble"][0].value is not None
    assert clinical.figures["ensemble"][0].value > 0.9
    json.dumps(against.to_json())


def test_the_same_call_again_changes_nothing_and_other_settings_are_refused(
    ensemble: Ensemble, place: Path, tmp_path: Path
) -> None:
    before = (place / "toy" / "ensemble.json").read_bytes()
    fit_protein(place / "family.a2m", place / "toy", seeds=2, steps=40, per_kind=SMALL)
    assert (place / "toy" / "ensemble.json").read_bytes() == before
    write_family(tmp_path, length=24, seed=1)
    with pytest.raises(DataError, match="not the one"):
        fit_protein(tmp_path / "family.a2m", place / "toy", seeds=2, steps=40, per_kind=SMALL)


def test_an_interrupted_ensemble_keeps_what_was_fitted(place: Path, tmp_path: Path) -> None:
    fit_protein(place / "family.a2m", tmp_path / "toy", kinds=["sites"])
    kept = (tmp_path / "toy" / "members" / "sites.json").stat().st_mtime_ns
    found = fit_protein(place / "family.a2m", tmp_path / "toy", kinds=["sites", "potts"], steps=5)
    assert [member.name for member in found.members] == ["counting", "sites", "potts"]
    assert (tmp_path / "toy" / "members" / "sites.json").stat().st_mtime_ns == kept


def test_a_member_begun_with_other_settings_is_refused(place: Path, tmp_path: Path) -> None:
    fit_protein(place / "family.a2m", tmp_path / "toy", kinds=["potts"], steps=3)
    (tmp_path / "toy" / "members" / "potts.json").unlink()
    settings = {"optimizer": {"lr": 0.5}}
    with pytest.raises(UsageError, match="begun with other settings"):
        fit_protein(place / "family.a2m", tmp_path / "toy", kinds=["potts"], steps=3, settings=settings)


def test_a_queue_goes_on_after_a_failure_and_shards_add_up(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "alignments"
    folder.mkdir()
    text = (place / "family.a2m").read_text()
    for name in ("a.a2m", "b.fasta", "c.a2m"):
        (folder / name).write_text(text)
    (folder / "broken.a3m").write_text(">x\nMKV\n>y\nM\n")
    first = fit_folder(folder, tmp_path / "all", shard=Shard(0, 2), kinds=["sites"])
    second = fit_folder(folder, tmp_path / "all", shard=Shard(1, 2), kinds=["sites"])
    assert sorted((*first.fitted, *second.fitted)) == ["a", "b", "c"]
    assert list({**first.failed, **second.failed}) == ["broken"]
    again = fit_folder(folder, tmp_path / "all", kinds=["sites"])
    assert again.before == ("a", "b", "c")
    assert [one.path.name for one in ensembles_in(tmp_path / "all")] == ["a", "b", "c"]


def test_a_protein_that_another_process_fits_is_left_to_it(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "alignments"
    folder.mkdir()
    for name in ("a.a2m", "b.a2m"):
        (folder / name).write_text((place / "family.a2m").read_text())
    (tmp_path / "all" / "a").mkdir(parents=True)
    with RunLock(tmp_path / "all" / "a" / ".lock"):
        result = fit_folder(folder, tmp_path / "all", kinds=["sites"])
    assert (result.busy, result.fitted, result.failed) == (("a",), ("b",), {})


def test_processes_of_torchrun_share_the_queue(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "alignments"
    folder.mkdir()
    for name in ("a.a2m", "b.a2m", "c.a2m"):
        (folder / name).write_text((place / "family.a2m").read_text())
    command = "-m headwater variants fit alignments --out all --members potts --steps 20 --quiet"
    done = under_torchrun(*command.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(line[0] for line in done.stdout.splitlines() if "fitted" in line) == ["1", "2"]
    ensembles = ensembles_in(tmp_path / "all")
    assert [one.path.name for one in ensembles] == ["a", "b", "c"]
    alone = fit_protein(folder / "a.a2m", tmp_path / "alone", kinds=["potts"], steps=20)
    for one in ensembles:
        np.testing.assert_array_equal(one.score(["A1C", "A1D"]).score, alone.score(["A1C", "A1D"]).score)


def test_names_and_shards_are_checked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no alignment here"):
        alignments_in(tmp_path)
    (tmp_path / "x.a2m").touch()
    (tmp_path / "x.a3m.gz").touch()
    with pytest.raises(DataError, match="would both be x"):
        alignments_in(tmp_path)
    for wrong in ("0/4", "5/4", "a/b", "3"):
        with pytest.raises(UsageError, match="Expected a shard"):
            Shard.parse(wrong)
    with pytest.raises(UsageError, match="holds no ensemble"):
        Ensemble.open(tmp_path)


def test_the_command_line_says_what_to_do(
    ensemble: Ensemble, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert run_command("headwater variants score toy A1C L7Xyz p.Trp1Ter --quiet") == 0
    said = capsys.readouterr().out
    assert "Research use only" in said
    assert "A1C" in said
    assert run_command("headwater variants fit family.a2m --shard 1/2") == 2
    assert "divides a folder" in capsys.readouterr().err
    assert run_command("headwater variants fit family.a2m --members pots") == 2
    assert "Did you mean 'potts'" in capsys.readouterr().err
    assert run_command("headwater variants evaluate toy") == 2
    assert "--assay FILE" in capsys.readouterr().err
