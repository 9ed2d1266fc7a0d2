from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np

from headwater.evaluation.evaluation import Evaluation, Failure, Figure, Stamp
from headwater.evaluation.leaderboard import leaderboard
from headwater.evaluation.likelihood import summarize


def evaluation(run: str, *, mean: float | None = -1.0, frechet: float = 1.0, **changes: object) -> Evaluation:
    stamp = {"data": "d" * 64, "split": "test", "n": 100, "held_out": 100, "seed": 0, "extractor": "identity"}
    stamp |= {key: value for key, value in changes.items() if key in Stamp.model_fields}
    likelihood = None
    if mean is not None:
        likelihood = summarize(
            np.array([mean - 0.1, mean + 0.1]),
            kind=changes.get("kind", "exact"),
            dims=2,
            split="test",
            conditional=bool(changes.get("conditional", False)),
        )
    return Evaluation(
        run=run,
        model="m",
        family="f",
        kind="arrays",
        stamp=Stamp.model_validate(stamp),
        likelihood=likelihood,
        figures=(Figure(key="frechet", value=frechet, floor=0.5), Figure(key="two_sample", value=0.4)),
        failures=changes.get("failures", ()),
    )


def test_best_is_marked_each_way() -> None:
    board = leaderboard([evaluation("a", mean=-2.0, frechet=0.3), evaluation("b", mean=-1.0, frechet=0.9)], [])
    rows = {row.run: row.cells for row in board.rows}
    assert rows["b"]["log_likelihood"].best
    assert not rows["a"]["log_likelihood"].best
    assert rows["a"]["frechet"].best
    assert [row.run for row in board.rows] == ["b", "a"]
    assert board.floors == {"frechet": 0.5}
    assert "-1.000*" in str(board)
    assert str(board).isascii()


def test_rows_that_cannot_be_compared_are_shown_explained_and_never_best() -> None:
    shared = [evaluation("a"), evaluation("b", mean=-1.5)]
    odd = {
        "data": evaluation("data", mean=5.0, frechet=0.0, data="e" * 64),
        "split": evaluation("split", mean=5.0, frechet=0.0, split="valid"),
        "events": evaluation("events", mean=-1.2, frechet=0.0, n=50),
        "extractor": evaluation("extractor", mean=-1.2, frechet=0.0, extractor="random(seed 0)"),
        "condition": evaluation("condition", mean=5.0, frechet=1.1, conditional=True),
    }
    board = leaderboard([*shared, *odd.values()], [])
    rows = {row.run: row.cells for row in board.rows}
    for name in ("data", "split", "condition"):
        assert rows[name]["log_likelihood"].outside, name
    for name in ("data", "split", "events", "extractor"):
        assert rows[name]["frechet"].outside, name
        assert not rows[name]["frechet"].best
    assert rows["a"]["log_likelihood"].best
    assert not rows["condition"]["frechet"].outside
    notes = "\n".join(board.notes)
    assert "extractor: not comparable" in notes
    assert "random(seed 0)" in notes
    assert "score log p(x | label), not log p(x)" in notes
    assert "5.000!" in str(board)


def test_bounds_and_estimates_are_named() -> None:
    board = leaderboard([evaluation("a"), evaluation("b", kind="lower bound"), evaluation("c", kind="estimate")], [])
    assert ">=-1.000" in str(board)
    assert "~-1.000" in str(board)
    assert "Lower bounds (b)" in "\n".join(board.notes)


def test_failures_of_runs_and_of_figures_are_listed() -> None:
    broken = evaluation("a", mean=None, failures=(Failure(key="log_likelihood", reason="the inverse misses"),))
    board = leaderboard([broken], [("gone", "no checkpoint")])
    assert board.rows[-1].status == "failed"
    text = str(board)
    assert "a: Log-likelihood not measured: the inverse misses" in text
    assert "gone: failed: no checkpoint" in text
    assert "FAILED" in text
    assert "No run has been evaluated" in str(leaderboard([], [("gone", "x")]))


def test_json_and_csv(tmp_path: Path) -> None:
    board = leaderboard([evaluation("=cmd()", mean=-2.0)], [("b", "why")])
    board.write_json(tmp_path / "board.json")
    values = json.loads((tmp_path / "board.json").read_text())
    assert values["rows"][0]["cells"]["log_likelihood"]["value"] == -2.0
    board.write_csv(tmp_path / "board.csv")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "board.csv").read_text())))
    assert rows[0]["run"] == "'=cmd()"
    assert float(rows[0]["log_likelihood_value"]) == -2.0
    assert rows[1]["status"] == "failed"
