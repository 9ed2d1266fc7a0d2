"""A4, A6, A7, A15, A19, A20, H5: killed, out of disk, read-only, deleted: one clear error and nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from headwater.errors import ResourceError
from headwater.runs.checkpoint import load_checkpoint
from headwater.runs.device import memory_advice
from headwater.runs.failpoints import FAILPOINT_VARIABLE, _passed
from headwater.runs.folder import RunFolder
from headwater.training.session import Session
from tests.training.stand_ins import fit, run_settings, weights

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPT = _ROOT / "tests" / "training" / "script.py"


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The training script in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(_SCRIPT), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


_PLACES = {  # and at which passage: in one of the first saves
    "before-tmp": 3,
    "mid-tensor": 65,
    "after-tmp": 3,
    "after-manifest": 3,
    "after-rename": 3,
    "mid-pointer": 5,
    "mid-prune": 1,
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run per place, each killed there."""
    root = tmp_path_factory.mktemp("killed")
    process = start(str(root), "kills", *(f"{place}:{nth}" for place, nth in _PLACES.items()))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert output.split() == [str(int(signal.SIGKILL))] * len(_PLACES)
    return root


@pytest.mark.parametrize("place", _PLACES)
def test_a4_killed_anywhere_in_a_save_resumes_to_the_same_weights(tmp_path: Path, killed: Path, place: str) -> None:
    run = killed / place
    found = load_checkpoint(RunFolder(run), "latest", strict=True)
    assert found.step % 2 == 0
    assert 2 <= found.step < 12
    fit(run, run_settings("tiny", checkpoint_every=2, keep=1), resume=True)
    fit(tmp_path / "whole", run_settings("tiny", checkpoint_every=2, keep=1))
    assert weights(run, 12) == weights(tmp_path / "whole", 12)
    assert not list(run.rglob("*.tmp-*"))


def test_a5_a6_first_signal_saves_second_leaves_at_once(tmp_path: Path) -> None:
    process = start(str(tmp_path / "run"), "slow")
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "step 3"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().strip() == "noticed"
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    _, message = process.communicate(timeout=10)
    assert process.returncode == 130
    assert time.monotonic() - begun < 2
    assert "Left at once" in message
    assert load_checkpoint(RunFolder(tmp_path / "run"), "latest", strict=True).step == 2


def test_a7_full_disk_keeps_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _passed.clear()
    fit(tmp_path / "run", run_settings("tiny", steps=6))
    before = weights(tmp_path / "run", 6)
    monkeypatch.setenv(FAILPOINT_VARIABLE, "after-tmp:enospc")
    with pytest.raises(ResourceError, match=r"bytes .* are needed.* are free") as full:
        fit(tmp_path / "run", run_settings("tiny"), resume=True)
    assert full.value.exit_code == 5
    assert weights(tmp_path / "run", 6) == before
    assert sorted(p.name for p in RunFolder(tmp_path / "run").checkpoints.iterdir() if p.is_dir()) == ["000006"]


def test_a15_folder_deleted_while_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def delete(session: Session) -> bool:
        shutil.rmtree(session.folder.path, ignore_errors=True)
        return True

    monkeypatch.setattr(Session, "evaluate", delete)
    with pytest.raises(ResourceError, match=str(tmp_path / "run")) as gone:
        fit(tmp_path / "run", run_settings("tiny", section={"width": 3}))
    assert gone.value.exit_code == 5


def test_a19_a_checkpoint_that_cannot_be_deleted_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, failures = Path.rename, []

    def refuse(self: Path, target: Path) -> Path:
        if "pruned" in str(target) and len(failures) < 1:
            failures.append(str(self))
            raise OSError(16, "Device or resource busy")
        return plain(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    result = fit(tmp_path / "run", run_settings("tiny", checkpoint_every=2, keep=1))
    assert result.step == 12
    assert failures
    assert any("could not be deleted" in text for text in result.warnings)
    left = {p.name for p in RunFolder(tmp_path / "run").checkpoints.iterdir() if p.is_dir()}
    assert len(left) <= 2  # the newest and the best: the deletion was tried again


def test_a20_disk_stays_bounded(tmp_path: Path) -> None:
    files = _open_files()
    fit(tmp_path / "run", run_settings("tiny", steps=30, checkpoint_every=1, keep=2))
    assert len([p for p in RunFolder(tmp_path / "run").checkpoints.iterdir() if p.is_dir()]) <= 3
    assert _open_files() <= files + 1


def _open_files() -> int:
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.exists() else 0


def test_h5_no_silent_cpu(tmp_path: Path) -> None:
    settings = run_settings("tiny").model_copy(update={"device": "cuda:99"})
    with pytest.raises(ResourceError, match=r"available: .*cpu") as missing:
        fit(tmp_path / "run", settings)
    assert missing.value.exit_code == 5


def test_out_of_memory_says_what_to_type() -> None:
    with pytest.raises(ResourceError, match="batch size of 64") as full, memory_advice(64):
        torch.empty(2**62, dtype=torch.uint8)
    assert "training.batch_size=32" in full.value.hint


def test_a_failing_loss_that_is_no_fault_of_memory_stays_itself() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_advice(64):
        raise RuntimeError("shapes do not match")
