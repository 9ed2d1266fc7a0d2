"""The comparison with peers: medians, the fastest peer, ratios, the table; and what happens when a worker fails."""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from benchmarks.flows_vs_peers import Comparison
from benchmarks.peers import driver
from benchmarks.peers.driver import NoAnswerError, Process
from benchmarks.peers.ratios import Entry, fastest, ratios, table
from benchmarks.peers.shared import OURS, batch_order, training_data


def entry(library: str, seconds: list[float], *, precision: str = "float32", **changes: Any) -> Entry:
    settings = {"work": "maf", "features": 6, "task": "log_prob", "mode": "eager"} | changes
    return Entry(library=library, precision=precision, blocks=[(10, s) for s in seconds], **settings)


def test_a_rate_is_the_median_over_rounds_in_rows_or_steps() -> None:
    assert entry("zuko", [1.0, 2.0, 40.0]).rate == pytest.approx(10 * 512 / 2)
    assert entry("zuko", [1.0, 2.0, 40.0], task="sample-4096").rate == pytest.approx(10 * 4096 / 2)
    assert entry("zuko", [1.0, 2.0, 40.0], task="train").rate == pytest.approx(5)
    assert entry("zuko", [1.0, 2.0, 40.0]).call == pytest.approx(0.2)


def test_without_a_result_there_is_no_rate_and_no_ratio() -> None:
    failed = entry("zuko", [], mode="compiled")
    failed.failure = "no result in 90 s"
    assert failed.rate == 0
    assert failed.call == math.inf
    assert fastest([failed]) is None
    (row,) = ratios([failed, entry(OURS, [1.0])])
    assert row.peer is None
    assert row.float32 is None
    assert row.record()["float32"] is None
    assert failed.record()["failure"] == "no result in 90 s"
    assert "rate" not in failed.record()


def test_the_peer_is_the_fastest_mode_of_the_fastest_library() -> None:
    entries = [
        entry("zuko", [4.0]),
        entry("zuko", [2.0], mode="compiled"),
        entry("nflows", [3.0]),
        entry("nflows", [1.0], precision="bfloat16"),
        entry(OURS, [0.8]),
        entry(OURS, [0.5], mode="compiled"),
        entry(OURS, [0.2], precision="bfloat16"),
        entry("zuko", [0.1], task="train"),
    ]
    scoring, training = ratios(entries)
    assert scoring.peer is entries[1]
    assert scoring.any_peer is entries[3]
    assert scoring.float32 == pytest.approx(2.0 / 0.5)
    assert scoring.against_any == pytest.approx(1.0 / 0.5)
    assert scoring.reduced == pytest.approx(1.0 / 0.2)
    assert training.ours is None
    assert training.record()["any_peer"] == "zuko eager float32 100.0"


def test_the_table_has_a_row_per_task_and_dashes_for_what_is_missing() -> None:
    text = table(
        ratios([entry("zuko", [2.0]), entry(OURS, [0.5], mode="compiled"), entry("zuko", [1.0], task="train")])
    )
    lines = text.splitlines()
    assert len(lines) == 4
    assert {line.count("|") for line in lines} == {11}
    assert lines[2].startswith(
        "| maf | 6 | log_prob (rows/s) | 10,200 (compiled) | - | 2,560 (zuko eager float32)"
    ) or (lines[2].split("|")[4].strip().endswith("(compiled)"))
    assert [cell.strip() for cell in lines[2].split("|")[8:11]] == ["4x", "4x", "-"]
    assert [cell.strip() for cell in lines[3].split("|")[8:11]] == ["-", "-", "-"]


def test_every_library_sees_the_same_rows() -> None:
    x, order = training_data(3), batch_order()
    assert x.shape == (16_384, 3)
    assert x.std(axis=0) == pytest.approx(1, abs=1e-4)
    assert sorted(order.ravel()) == list(range(16_384))


FAKE = """
    import json, os, sys, time
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        print("a library talks")
        if request["op"] == "block":
            if request["task"] == "log_prob" and request["mode"] == "compiled":
                time.sleep(60)
            slow = 4 if sys.argv[1] == "zuko" else 1
            answer = {"first": 0.5, "warming": 1.0, "calls": 10, "seconds": 0.01 * slow, "wrong": None}
            if request["task"] == "joint-512":
                answer["wrong"] = "not all figures are finite"
        elif request["op"] == "die":
            os._exit(7)
        elif request["op"] == "fail":
            answer = {"error": "ValueError: no"}
        else:
            tasks = ["train", "log_prob", "joint-512"]
            modes = {"eager": tasks, "compiled": tasks[:2]}
            answer = {"modes": modes, "reduces": False, "imports_headwater": sys.argv[1] == "headwater"}
        answers.write(json.dumps(answer) + "\\n")
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that answers at once, in place of the libraries."""
    folder = tmp_path / "benchmarks" / "peers"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        (package / "__init__.py").touch()
    (folder / "worker.py").write_text(textwrap.dedent(FAKE))
    monkeypatch.setattr(driver, "_ROOT", tmp_path)


def test_a_worker_may_print_fail_and_die(fake: None, tmp_path: Path) -> None:
    process = Process("zuko", sys.executable, 1, str(tmp_path))
    try:
        assert process.ask("hello")["reduces"] is False
        with pytest.raises(NoAnswerError, match="ValueError: no"):
            process.ask("fail")
        with pytest.raises(NoAnswerError, match="died with code 7"):
            process.ask("die")
        assert process.ask("hello")["reduces"] is False
    finally:
        process.stop()


def test_what_takes_too_long_is_recorded_and_not_tried_again(fake: None, tmp_path: Path) -> None:
    chosen = argparse.Namespace(
        peers=sys.executable, libraries=["zuko", OURS], features=[2, 3], works=["maf"], rounds=2, seconds=0.1
    )
    chosen.slow, chosen.patience, chosen.threads, chosen.compile_sampling = 3.0, 1.0, 1, True
    comparison = Comparison(chosen, str(tmp_path))
    try:
        comparison.compare("maf", 2, math.inf)
        comparison.compare("maf", 3, math.inf)
    finally:
        comparison.stop()
    failures = {(e.library, e.mode, e.task, e.features): e.failure for e in comparison.entries if e.failure}
    assert failures["zuko", "compiled", "log_prob", 2] == "no result in 1 s"
    assert failures["zuko", "compiled", "log_prob", 3] == "not tried: with 2 features no result in 1 s"
    assert failures["zuko", "eager", "joint-512", 2] == "not all figures are finite"
    rows = {(row.task, row.features): row.float32 for row in ratios(comparison.entries)}
    assert rows["train", 2] == pytest.approx(4)
    assert rows["log_prob", 3] == pytest.approx(4)
    assert rows["joint-512", 2] is None
    assert all(len(e.blocks) == 2 for e in comparison.entries if e.task == "train")
