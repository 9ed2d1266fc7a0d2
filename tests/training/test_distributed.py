"""G1-G5: two processes over loopback give the run of one process, or say who is missing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from headwater.errors import UsageError
from headwater.runs.checkpoint import load_checkpoint
from headwater.runs.folder import RunFolder
from headwater.training.distributed import Ranks
from headwater.training.peers import CARD_BYTES, Peer
from tests.launcher import under_torchrun
from tests.training.stand_ins import fit, run_settings
from tests.training.test_faults import _SCRIPT


def torchrun(*arguments: str, timeout: float = 90) -> subprocess.CompletedProcess[str]:
    """The training script in two processes under torchrun, meeting on a free port of loopback."""
    return under_torchrun(str(_SCRIPT), *arguments, timeout=timeout)


def _losses(path: Path) -> dict[tuple[str, int], dict[str, Any]]:
    rows = RunFolder(path).read_metrics()
    return {
        (row["kind"], row["step"]): {k: v for k, v in row.items() if k not in ("time", "kind")}
        for row in rows
        if "event" not in row
    }


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each model by two processes."""
    root = tmp_path_factory.mktemp("two")
    done = torchrun(str(root), "plain", "tiny", "two")
    assert done.returncode == 0, done.stderr
    return root


@pytest.mark.parametrize("model", ["tiny", "two"])
def test_g1_g3_g4_two_processes_are_one(tmp_path: Path, two_processes: Path, model: str) -> None:
    both = two_processes / model
    fit(tmp_path / "one", run_settings(model, sample_every=100))
    ours, theirs = _losses(tmp_path / "one"), _losses(both)
    assert ours.keys() == theirs.keys()  # rank 0 alone wrote: no row comes twice
    assert len(RunFolder(both).read_metrics()) == len(theirs)
    for key, row in ours.items():
        assert theirs[key] == pytest.approx(row, rel=2e-4, abs=2e-5), key
    one = load_checkpoint(RunFolder(tmp_path / "one")).groups["model"]
    for name, tensor in load_checkpoint(RunFolder(both)).groups["model"].items():
        assert torch.allclose(tensor, one[name], rtol=1e-3, atol=1e-4), name
    longer = fit(both, run_settings(model, steps=16, sample_every=100), resume=True)  # G3: two, then one
    assert longer.step == 16


def test_g2_a_killed_process_is_named_and_the_run_resumes(tmp_path: Path) -> None:
    killed = torchrun(str(tmp_path / "run"), "dies")
    assert killed.returncode != 0
    assert "Rank 0 lost rank 1" in killed.stderr
    assert load_checkpoint(RunFolder(tmp_path / "run"), strict=True).step == 4
    assert fit(tmp_path / "run", run_settings("tiny", checkpoint_every=2), resume=True).step == 12


def test_g5_different_settings_are_found_at_the_start(tmp_path: Path) -> None:
    differing = torchrun(str(tmp_path / "run"), "differs")
    assert differing.returncode != 0
    assert "settings of rank 1 differ" in differing.stderr


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(UsageError, match="3 processes can share") as refused:
        Ranks(run_settings("tiny", batch_size=16), rank=0, world=3)
    assert refused.value.hint == "--set training.batch_size=15"


def test_a_card_comes_back_from_its_padding() -> None:
    peer = Peer(1, "a-host", 4242, "0123456789abcdef")
    assert Peer.from_bytes(peer.to_bytes().ljust(CARD_BYTES, b"\0")) == peer
