"""Whole evaluations of real runs, their comparison and the report; the runs are baselines, fitted in a moment."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headwater
from headwater.errors import UsageError
from headwater.evaluation.cite import bibtex_entry, citations
from headwater.evaluation.compare import compare
from headwater.evaluation.evaluate import FILE, evaluate_run, read_evaluation
from headwater.evaluation.gallery import between
from headwater.evaluation.markup import Markup, tag
from headwater.evaluation.memorization import memorization
from headwater.evaluation.plots import closeness, curves
from headwater.evaluation.report import write_report
from headwater.evaluation.svg import Chart, ticks
from headwater.models.base import Paper
from headwater.progress import SilentProgress

EVIL = "<script>alert(1)</script>"


def make_frame() -> Any:
    import polars

    r = np.random.default_rng(0)
    x = r.normal(size=600)
    kind = np.where(x > 0, "up", "down")
    return polars.DataFrame({EVIL: x, "y": 2 * x + r.normal(size=600), "kind": kind})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root, frame = tmp_path_factory.mktemp("runs"), make_frame()
    for name in ("independent", "gaussian-mixture"):
        headwater.fit(frame, name, out=root / name, label="kind", settings={"data": {"test": 0.3}})
    return [root / name for name in ("independent", "gaussian-mixture")]


def load(path: Path) -> headwater.Run:
    import polars

    run = headwater.load(path, device="cpu")
    assert isinstance(run.sample(2), polars.DataFrame)
    return run


@pytest.fixture(scope="module")
def evaluated(runs: list[Path]) -> list[Path]:
    for path in runs:
        run = load(path)
        evaluate_run(run, dataset=run.dataset(make_frame()))
    return runs


def test_an_evaluation_is_whole_and_comes_back_from_the_folder(evaluated: list[Path]) -> None:
    found = read_evaluation(load(evaluated[1]).folder)
    assert found.failures == ()
    keys = {figure.key for figure in found.figures}
    assert {"frechet", "kernel", "precision", "coverage", "two_sample", "recognition", "columns", "utility"} <= keys
    assert found.likelihood is not None
    assert found.likelihood.conditional
    assert found.memorization is not None
    assert found.memorization.verdict == "none found"
    assert found.stamp.checkpoint
    assert found.target == "kind"
    assert str(found).isascii()


def test_it_is_the_same_again_with_the_same_seed(evaluated: list[Path]) -> None:
    run = load(evaluated[0])
    again = evaluate_run(run, dataset=run.dataset(make_frame()), write=False)
    known = read_evaluation(run.folder)
    same = {f.key: f.value for f in known.figures if f.key != "speed"}
    assert {f.key: f.value for f in again.figures if f.key != "speed"} == same
    assert again.likelihood == known.likelihood


def test_the_mixture_beats_independent_columns(evaluated: list[Path]) -> None:
    board = compare(evaluated, evaluate=False)
    assert board.rows[0].run == "gaussian-mixture"
    assert board.rows[0].cells["pairs"].best
    assert all(not cell.outside for row in board.rows for cell in row.cells.values())


def test_runs_that_cannot_be_opened_or_were_not_evaluated_are_rows(evaluated: list[Path], tmp_path: Path) -> None:
    board = compare([*evaluated, tmp_path / "nothing"], split="valid", evaluate=False)
    assert [row.status for row in board.rows] == ["failed"] * 3
    assert "headwater evaluate" in board.rows[0].reason
    assert "no run" in board.rows[2].reason


def test_a_metric_that_fails_is_listed_and_others_stand(evaluated: list[Path]) -> None:
    run = load(evaluated[0])
    dataset = run.dataset(make_frame())
    found = evaluate_run(run, dataset=dataset, extractor="nope", metrics=("likelihood", "distances"), write=False)
    assert found.likelihood is not None
    assert [failure.key for failure in found.failures] == ["features"]
    assert "nope" in found.failures[0].reason
    with pytest.raises(UsageError, match="No metric"):
        evaluate_run(run, dataset=dataset, metrics=("fid",))
    with pytest.raises(UsageError, match="n=1"):
        evaluate_run(run, dataset=dataset, n=1)


class _Audit(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href", "action")]
        self.handlers += [key for key, _ in attrs if key.startswith("on")]


def test_the_report_is_one_inert_file(evaluated: list[Path], tmp_path: Path) -> None:
    dataset = load(evaluated[0]).dataset(make_frame())
    board = compare([*evaluated, tmp_path / EVIL], evaluate=False)
    written = write_report(tmp_path / "report.html", [*evaluated, tmp_path / EVIL], leaderboard=board, dataset=dataset)
    page = written.read_text(encoding="utf-8")
    audit = _Audit()
    audit.feed(page)
    assert "script" not in audit.tags
    assert audit.handlers == []
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in audit.addresses)
    assert not re.search(r"url\(|@import", page)
    assert "default-src 'none'" in page.replace("&#x27;", "'")
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<section") == 1 + 3 + 1
    for title in ("Leaderboard", "Samples", "Memorization", "Settings", "How to read"):
        assert title in page


def test_a_report_without_the_data_still_has_figures_and_samples(evaluated: list[Path], tmp_path: Path) -> None:
    progress = SilentProgress()
    page = write_report(tmp_path / "r.html", evaluated[:1], progress=progress).read_text(encoding="utf-8")
    assert "Column fidelity" in page
    assert "generated" in page
    assert "real, held out" not in page
    assert "no real events" in progress.warnings[0]


def test_citations_name_the_model_and_the_metrics(evaluated: list[Path]) -> None:
    run = load(evaluated[1])
    text = citations(run)
    assert "Heusel" in text
    assert type(run.model).papers[0].title in text
    assert citations(run, bibtex=True).count("@") >= text.count("\n") + 1
    entry = bibtex_entry(Paper("A1", "50 % of {all}", "Doe & Roe", 2020, "https://doi.org/1"))
    assert r"50 \% of \{all\}" in entry
    assert "author = {Doe and Roe}" in entry


def test_a_stale_evaluation_is_not_used(evaluated: list[Path]) -> None:
    run = load(evaluated[0])
    values = run.folder.read_json(FILE)
    run.folder.write_json(FILE, {**values, "stamp": {**values["stamp"], "checkpoint": "other"}})
    assert compare([run], evaluate=False).rows[0].status == "failed"
    run.folder.write_json(FILE, values)
    assert compare([run], evaluate=False).rows[0].status == "ok"


def test_markup_escapes_all_but_markup() -> None:
    assert tag("b", EVIL, title='"><x') == ('<b title="&quot;&gt;&lt;x">&lt;script&gt;alert(1)&lt;/script&gt;</b>')
    assert tag("p", tag("br"), Markup("<i>")) == "<p><br/><i></p>"


def test_charts_hold_what_they_are_given() -> None:
    assert ticks(-1.0, 1.0) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert ticks(3.0, 3.0) == [3.0]
    chart = Chart(EVIL, (0.0, 1.0), (0.0, 1.0), categories=[EVIL])
    chart.points(np.array([0.5, 9.0]), np.array([0.5, 0.5]), 1)
    svg = chart.svg()
    assert svg.count("h0") == 1
    assert "<script" not in svg
    rows = [{"step": s, "kind": k, "loss": 1.0 / (1 + s)} for s in range(5) for k in ("train", "valid")]
    (curve,) = curves([*rows, {"event": "rollback", "step": 3, "loss": 9.0}])
    assert curve.count("<path") == 2
    some = np.random.default_rng(0).normal(size=(50, 2))
    assert "generated" in closeness(memorization(some, some + 1, some + 2))


def test_the_way_between_noises_keeps_their_length() -> None:
    import torch

    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    arc = between(a, b, 5, noise=True)
    torch.testing.assert_close(arc.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(between(a, b, 3, noise=False)[1], torch.tensor([1.5, 1.5]))
