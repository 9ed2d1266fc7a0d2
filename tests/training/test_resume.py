"""A1-A3, A8, A11-A13: a resumed run is the run that was never interrupted, or refuses."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headwater.errors import CheckpointError, ConfigError, DataError, InterruptedRunError
from headwater.runs.folder import RunFolder
from headwater.training.order import DataOrder
from headwater.training.update import update
from tests.training.stand_ins import arrays, digits, fit, run_settings, weights

# Model, its settings, data.
FAMILIES: list[tuple[str, dict[str, Any], str]] = [
    ("tiny", {}, "arrays"),
    ("two", {}, "arrays"),
    ("nsf", {"transforms": 2, "width": 8, "blocks": 1}, "arrays"),
    ("vae", {}, "arrays"),
    ("gan", {"width": 8, "blocks": 1}, "digits"),
    ("flow-matching", {}, "arrays"),
    ("made", {}, "arrays"),
    ("pixel-transformer", {}, "digits"),
]
_DATA = {"arrays": arrays, "digits": digits}


def _log(path: Path) -> list[dict[str, Any]]:
    rows = RunFolder(path).read_metrics()
    return [{k: v for k, v in row.items() if k != "time"} for row in rows if "event" not in row]


@contextmanager
def interrupt_at(monkeypatch: pytest.MonkeyPatch, *calls: int) -> Iterator[None]:
    """Ctrl-C in the middle of these steps of the process, counted from 1."""
    count = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count in calls:
            os.kill(os.getpid(), signal.SIGINT)
        return update(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("headwater.training.fit.update", counted)
        yield


@pytest.mark.parametrize(("model", "section", "data"), FAMILIES, ids=[f[0] for f in FAMILIES])
def test_a1_a5_interrupt_and_resume_is_bit_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, section: dict[str, Any], data: str
) -> None:
    dataset = _DATA[data](90)  # 63 training rows, batches of 16: step 7 lies inside an epoch
    settings = run_settings(model, section=section)
    fit(tmp_path / "whole", settings, dataset)
    with interrupt_at(monkeypatch, 7), pytest.raises(InterruptedRunError, match="after step 7") as stopped:
        fit(tmp_path / "parts", settings, dataset)
    assert stopped.value.exit_code == 130
    assert f"headwater resume {tmp_path / 'parts'}" in stopped.value.hint
    fit(tmp_path / "parts", settings, dataset, resume=True)
    whole = weights(tmp_path / "whole", 12)
    assert {"model.safetensors", "optimizer.safetensors", "ema.safetensors"} <= whole.keys()
    assert whole == weights(tmp_path / "parts", 12)
    assert _log(tmp_path / "whole") == _log(tmp_path / "parts")


def test_a2_three_resumes_inside_one_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = arrays(400)  # 280 rows: one epoch is 17.5 steps
    settings = run_settings("tiny")
    fit(tmp_path / "whole", settings, dataset)
    for number in range(4):
        with interrupt_at(monkeypatch, *([3] if number < 3 else [])):
            if number < 3:
                with pytest.raises(InterruptedRunError):
                    fit(tmp_path / "parts", settings, dataset, resume=number > 0)
            else:
                fit(tmp_path / "parts", settings, dataset, resume=True)
    assert weights(tmp_path / "whole", 12) == weights(tmp_path / "parts", 12)


def test_each_row_is_seen_once_per_epoch() -> None:
    order = DataOrder(np.arange(100, 163), batch_size=16, seed=5)
    seen = np.concatenate([order.rows(step) for step in range(8)])
    assert sorted(seen[:63]) == sorted(seen[63:126]) == list(range(100, 163))
    assert seen[:63].tolist() != seen[63:126].tolist()
    again = DataOrder(np.arange(100, 163), batch_size=16, seed=5)
    assert again.rows(7).tolist() == order.rows(7).tolist()
    assert DataOrder(np.arange(3), batch_size=16, seed=5).rows(4).shape == (16,)


def test_a3_workers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = arrays()
    fit(tmp_path / "whole", run_settings("tiny", workers=0), dataset)
    with interrupt_at(monkeypatch, 4), pytest.raises(InterruptedRunError):
        fit(tmp_path / "parts", run_settings("tiny", workers=0), dataset)
    with interrupt_at(monkeypatch, 4), pytest.raises(InterruptedRunError):
        fit(tmp_path / "parts", run_settings("tiny", workers=2), dataset, resume=True)
    fit(tmp_path / "parts", run_settings("tiny", workers=0), dataset, resume=True)
    assert weights(tmp_path / "whole", 12) == weights(tmp_path / "parts", 12)


def test_a11_another_thread_count_warns_and_goes_on(tmp_path: Path) -> None:
    fit(tmp_path / "run", run_settings("tiny"))
    torch.set_num_threads(2)
    result = fit(tmp_path / "run", run_settings("tiny", steps=14), resume=True)
    assert result.step == 14
    assert any("not guaranteed" in text and "threads 1 -> 2" in text for text in result.warnings)


def test_a12_changed_data_is_refused_or_recorded(tmp_path: Path) -> None:
    fit(tmp_path / "run", run_settings("tiny"))
    longer = run_settings("tiny", steps=14)
    with pytest.raises(DataError, match="data has changed") as refused:
        fit(tmp_path / "run", longer, arrays(seed=1), resume=True)
    assert refused.value.exit_code == 3
    assert "--allow-data-change" in refused.value.hint
    assert fit(tmp_path / "run", longer, arrays(seed=1), resume=True, allow_data_change=True).step == 14
    assert "data changed" in [row.get("event") for row in RunFolder(tmp_path / "run").read_metrics()]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"section": {"width": 9}}, "model.width: 8 -> 9"),
        ({"seed": 4}, "seed: 3 -> 4"),
        ({"batch_size": 8}, "training.batch_size: 16 -> 8"),
        ({"optimizer": {"lr": 0.5}}, "optimizer.lr: 0.01 -> 0.5"),
    ],
)
def test_a13_other_settings_are_refused_by_name(tmp_path: Path, changed: dict[str, Any], field: str) -> None:
    fit(tmp_path / "run", run_settings("tiny"))
    with pytest.raises(ConfigError, match="cannot change under way") as refused:
        fit(tmp_path / "run", run_settings("tiny", **changed), resume=True)
    assert field in refused.value.message
    assert refused.value.exit_code == 2


def test_a13_a_larger_budget_is_welcome_and_a_finished_run_stays_finished(tmp_path: Path) -> None:
    first = fit(tmp_path / "run", run_settings("tiny"))
    again = fit(tmp_path / "run", run_settings("tiny"), resume=True)
    assert (first.step, again.step, again.stopped_because) == (12, 12, "steps")
    assert fit(tmp_path / "run", run_settings("tiny", steps=20), resume=True).step == 20


def test_resume_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no usable latest checkpoint"):
        fit(tmp_path / "run", run_settings("tiny"), resume=True)
