"""B1-B4: numbers that stop being finite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from headwater.errors import DivergenceError
from headwater.runs.checkpoint import load_checkpoint
from headwater.runs.folder import RunFolder
from headwater.training.ema import Ema
from headwater.training.fit import FitResult
from tests.training.stand_ins import FAULT, fit, run_settings

NAN = float("nan")


def _events(path: Path) -> list[dict[str, Any]]:
    return [row for row in RunFolder(path).read_metrics() if "event" in row]


def _finite(path: Path) -> bool:
    groups = load_checkpoint(RunFolder(path), "latest", strict=True).groups
    return all(bool(torch.isfinite(t).all()) for g in groups.values() for t in g.values() if t.is_floating_point())


@pytest.mark.parametrize("factor", [NAN, float("inf")])
def test_b1_one_bad_loss_is_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    monkeypatch.setitem(FAULT, "factor", lambda call: factor if call == 8 else 1.0)
    result = fit(tmp_path / "run", run_settings("tiny"))
    (event,) = _events(tmp_path / "run")
    assert (event["event"], event["step"], event["to"], event["lr_factor"]) == ("rollback", 8, 6, 0.5)
    assert result.step == 12
    assert len(result.warnings) == 1
    assert _finite(tmp_path / "run")
    steps = [row["step"] for row in RunFolder(tmp_path / "run").read_metrics() if "event" not in row]
    assert steps == sorted(steps)


def test_b2_persistent_nan_gives_up_with_the_last_finite_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAULT, "factor", lambda call: NAN if call >= 11 else 1.0)
    with pytest.raises(DivergenceError, match="rolled back 2 times") as gone:
        fit(tmp_path / "run", run_settings("tiny", steps=20, rollbacks=2))
    assert gone.value.exit_code == 4
    assert "loss" in gone.value.message
    assert "optimizer.lr" in gone.value.hint
    assert [event["event"] for event in _events(tmp_path / "run")] == ["rollback", "rollback", "diverged"]
    assert _finite(tmp_path / "run")
    assert load_checkpoint(RunFolder(tmp_path / "run"), "latest").step == 6


def test_b2_nan_from_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULT, "factor", lambda call: NAN)
    with pytest.raises(DivergenceError, match="it never was finite"):
        fit(tmp_path / "run", run_settings("tiny"))
    assert not [p for p in RunFolder(tmp_path / "run").checkpoints.iterdir() if p.is_dir()]


@pytest.mark.parametrize("model", ["tiny", "nsf"])
def test_b3_a_huge_learning_rate_ends_in_exit_4(tmp_path: Path, model: str) -> None:
    section = {"transforms": 2, "width": 8, "blocks": 1} if model == "nsf" else {}
    rate = {"lr": 1e3, "clip": None, "warmup": 0, "schedule": "constant"}
    with pytest.raises(DivergenceError) as gone:
        fit(tmp_path / "run", run_settings(model, section=section, steps=60, evaluate_every=10, optimizer=rate))
    assert gone.value.exit_code == 4
    if any(p.is_dir() for p in RunFolder(tmp_path / "run").checkpoints.iterdir()):
        assert _finite(tmp_path / "run")


def test_b4_nan_in_the_average_only_is_found_at_the_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, calls = Ema.update, []

    def spoil(self: Ema, step: int) -> None:
        plain(self, step)
        calls.append(step)
        if len(calls) == 9:
            self._averages[0].fill_(NAN)

    monkeypatch.setattr(Ema, "update", spoil)
    result: FitResult = fit(tmp_path / "run", run_settings("tiny", evaluate_every=6, checkpoint_every=3))
    events = _events(tmp_path / "run")
    assert [event["event"] for event in events] == ["rollback"]
    assert "not finite" in events[0]["reason"]
    assert result.step == 12
    assert _finite(tmp_path / "run")
