"""A4, A7-A10, A16-A20, B4: a checkpoint is published whole or not at all, and believed only if it verifies."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from torch import Tensor

from headwater.errors import CheckpointError, DivergenceError, ResourceError
from headwater.progress import SilentProgress
from headwater.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from headwater.runs.folder import RunFolder
from headwater.runs.shelf import entries, rewind
from headwater.settings import RunSettings

FAILPOINTS = ("before-tmp", "mid-tensor", "after-tmp", "after-manifest", "after-rename", "mid-pointer", "mid-prune")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder.create(tmp_path / "run")
    made.write_settings(RunSettings())
    return made


class Notes(SilentProgress):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def groups(step: int) -> dict[str, dict[str, Tensor]]:
    base = torch.arange(600.0).reshape(20, 30) + step
    return {
        "model": {"encoder.weight": base, "steps": torch.tensor(step)},
        "ema": {"encoder.weight": base / 2},
        "optimizer": {"encoder.weight/exp_avg": base.double() * 3},
    }


def save(folder: RunFolder, step: int, *, keep: int = 3, best: bool = False, **more: Any) -> Path:
    state = {"step": step, "worst": float("inf"), "lr": 0.1 + 0.2}
    return save_checkpoint(folder, step, groups(step), state, keep=keep, best=best, **more)


def assert_whole(found: Checkpoint, step: int) -> None:
    assert found.step == step == found.state["step"]
    assert found.state["worst"] == float("inf")
    assert found.state["lr"] == 0.1 + 0.2
    wanted = groups(step)
    assert found.groups.keys() == wanted.keys()
    for group, tensors in wanted.items():
        assert found.groups[group].keys() == tensors.keys()
        assert all(torch.equal(found.groups[group][name], tensor) for name, tensor in tensors.items())


def steps(folder: RunFolder) -> list[int]:
    return [entry.step for entry in entries(folder)]


def in_child(work: Callable[[], object]) -> int:
    """Exit status of the work in a forked process; minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def files(folder: RunFolder) -> set[str]:
    return {str(path.relative_to(folder.path)) for path in folder.path.rglob("*")}


def test_what_was_saved_comes_back(folder: RunFolder) -> None:
    path = save(folder, 400, best=True)
    assert path == folder.checkpoints / "000400"
    found = load_checkpoint(folder)
    assert_whole(found, 400)
    assert (found.path, found.best, found.manifest.threads) == (path, True, torch.get_num_threads())
    assert {(folder.checkpoints / name).read_text() for name in ("latest", "best")} == {"000400\n"}
    only = load_checkpoint(folder, only=("ema",))
    assert only.groups.keys() == {"ema"}
    assert only.digest == found.digest


def test_the_digest_is_that_of_the_content(folder: RunFolder) -> None:
    save(folder, 1)
    first = load_checkpoint(folder).digest
    save(folder, 1)
    assert load_checkpoint(folder).digest == first
    save_checkpoint(folder, 2, groups(1), {}, keep=2)
    assert load_checkpoint(folder).digest != first


@pytest.mark.parametrize("name", FAILPOINTS)
@pytest.mark.parametrize("again", [False, True], ids=["new step", "same step again"])
def test_a_kill_anywhere_loses_at_most_one_interval(
    folder: RunFolder, name: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (100, 200):
        save(folder, step, keep=2)
    target = 200 if again else 300

    def work() -> None:
        with folder.writing(progress=Notes()):
            save(folder, target, keep=1)

    monkeypatch.setenv("HEADWATER_FAILPOINT", f"{name}:kill")
    assert in_child(work) == -signal.SIGKILL
    monkeypatch.delenv("HEADWATER_FAILPOINT")
    published = FAILPOINTS.index(name) >= FAILPOINTS.index("after-rename")
    expected = target if published else 200
    quiet = SilentProgress()
    assert_whole(load_checkpoint(folder, progress=quiet), expected)
    assert quiet.warnings == []
    told = Notes()
    with folder.writing(progress=told):
        assert not [path for path in files(folder) if ".tmp-" in path or ".replaced-" in path]
        assert any("killed" in note or "died" in note for note in told.notes)
        unfinished = name in ("mid-tensor", "after-tmp", "after-manifest", "mid-pointer", "mid-prune")
        assert any("unfinished" in note for note in told.notes) or not unfinished
        assert_whole(load_checkpoint(folder), expected)
        save(folder, 400, keep=1)
    assert steps(folder) == [400]
    assert_whole(load_checkpoint(folder), 400)


def test_a_kill_between_moving_aside_and_renaming_keeps_the_old_one(folder: RunFolder) -> None:
    path = save(folder, 100)
    path.rename(path.with_name("000100.replaced-4711-0"))
    assert_whole(load_checkpoint(folder), 100)
    with folder.writing(progress=Notes()):
        assert_whole(load_checkpoint(folder, 100), 100)
    assert [entry.name for entry in folder.checkpoints.iterdir() if entry.is_dir()] == ["000100"]


@pytest.mark.parametrize("name", FAILPOINTS)
@pytest.mark.parametrize("action", ["raise", "enospc"])
def test_an_error_anywhere_leaves_no_half_folder(
    folder: RunFolder, name: str, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder, 100)

    def work() -> None:
        monkeypatch.setenv("HEADWATER_FAILPOINT", f"{name}:{action}")
        save(folder, 200, keep=1, progress=SilentProgress())

    in_child(work)
    visible = {path.name for path in folder.checkpoints.iterdir() if path.is_dir() and not path.name.endswith("pruned")}
    assert visible <= {"000100", "000200"}
    quiet = SilentProgress()
    found = load_checkpoint(folder, progress=quiet)
    assert_whole(found, found.step)
    assert quiet.warnings == []


def test_a_full_disk_makes_room_once(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (100, 200, 300):
        save(folder, step, best=step == 100)

    def work() -> None:
        monkeypatch.setenv("HEADWATER_FAILPOINT", "mid-tensor:enospc:2")
        told = SilentProgress()
        save(folder, 400, progress=told)
        assert any("disk is full" in warning and "step 200" in warning for warning in told.warnings)

    assert in_child(work) == 0
    assert steps(folder) == [400, 300, 100]


def test_a_disk_that_stays_full_is_an_error_with_bytes_and_loses_nothing(folder: RunFolder) -> None:
    for step in (100, 200):
        save(folder, step)
    needed = sum(t.numel() * t.element_size() for group in groups(0).values() for t in group.values())

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        with pytest.raises(ResourceError, match=rf"{needed} bytes .* are needed, \d+ bytes .* are free") as caught:
            save(folder, 300, progress=SilentProgress())
        assert caught.value.exit_code == 5
        assert str(folder.checkpoints) in str(caught.value)

    assert in_child(work) == 0
    assert steps(folder) == [200]  # room was made once, the newest is never given up
    assert {path.name for path in folder.checkpoints.iterdir()} == {"latest", "000200"}
    assert_whole(load_checkpoint(folder), 200)


def damage_truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [damage_truncate, damage_flip, damage_empty, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=["truncated", "bit flipped", "empty", "missing"])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
def test_damage_is_named_and_an_older_one_is_taken(
    folder: RunFolder, name: str, damage: Callable[[Path], None]
) -> None:
    for step in (100, 200):
        path = save(folder, step)
    damage(path / name)
    with pytest.warns(UserWarning, match=f"damaged checkpoint was passed over: .*{name}.* Step 100 is used"):
        assert_whole(load_checkpoint(folder), 100)
    with pytest.raises(CheckpointError, match=name) as caught:
        load_checkpoint(folder, strict=True)
    assert caught.value.exit_code == 3
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder, 200)
    shutil.rmtree(folder.checkpoints / "000100")
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder)


def test_a_pointer_is_never_trusted(folder: RunFolder) -> None:
    save(folder, 100, best=True)
    (folder.checkpoints / "000300").mkdir()
    for text in ("000200", "000300", "../../x", ""):
        (folder.checkpoints / "latest").write_text(text)
        (folder.checkpoints / "best").write_text(text)
        told = SilentProgress()
        assert_whole(load_checkpoint(folder, progress=told), 100)
        assert_whole(load_checkpoint(folder, "best", progress=told), 100)
        assert any("000300" in warning for warning in told.warnings)


def test_a_checkpoint_under_another_number_is_not_believed(folder: RunFolder) -> None:
    save(folder, 100).rename(folder.checkpoints / "000900")
    with pytest.raises(CheckpointError, match="renamed"):
        load_checkpoint(folder)


def test_a_newer_format_says_which_version_reads_it(folder: RunFolder) -> None:
    save(folder, 100)
    path = save(folder, 200) / "manifest.json"
    path.write_text(json.dumps({"format": 2, "headwater": "7.4", "anything": {"new": 1}}))
    for which in ("latest", "best", "best-or-latest", 200):
        with pytest.raises(CheckpointError, match=r"made by headwater 7\.4, needs headwater >= 7\.4"):
            load_checkpoint(folder, which)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"step": -1},
        {"files": [{"name": "../../../etc/passwd", "size": 1, "sha256": "0" * 64}]},
        {"files": [{"name": "os.system", "size": 1, "sha256": "0" * 64}]},
        {"class": "os.system"},
        {"format": "1"},
    ],
)
def test_a_manifest_that_asks_for_anything_else_is_damaged(folder: RunFolder, change: dict[str, Any]) -> None:
    path = save(folder, 100) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=r"manifest"):
        load_checkpoint(folder)


def test_the_order_is_that_of_steps_not_of_time(folder: RunFolder) -> None:
    for step in (900, 1_000_000, 2_000_000):
        os.utime(save(folder, step), (2e9 - step, 2e9 - step))
    assert steps(folder) == [2_000_000, 1_000_000, 900]
    assert load_checkpoint(folder).step == 2_000_000


def test_best_and_latest(folder: RunFolder) -> None:
    save(folder, 100)
    with pytest.raises(CheckpointError, match="best"):
        load_checkpoint(folder, "best")
    assert load_checkpoint(folder, "best-or-latest").step == 100
    save(folder, 200, best=True)
    save(folder, 300)
    assert [load_checkpoint(folder, which).step for which in ("best", "best-or-latest", "latest", 100)] == [
        200,
        200,
        300,
        100,
    ]
    with pytest.raises(CheckpointError, match="300, 200, 100"):
        load_checkpoint(folder, 250)


def test_pruning_keeps_the_newest_and_the_best(folder: RunFolder) -> None:
    for step in range(1, 8):
        save(folder, step, keep=2, best=step in (2, 4))
    assert steps(folder) == [7, 6, 4]


def test_a_failed_deletion_warns_and_is_tried_again(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy", str(path))

    save(folder, 1, keep=1)
    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.warns(UserWarning, match="could not be deleted"):
        save(folder, 2, keep=1)
    monkeypatch.undo()
    assert steps(folder) == [2]
    save(folder, 3, keep=1)
    assert {path.name for path in folder.checkpoints.iterdir()} == {"000003", "latest"}


def test_a_reader_that_maps_the_file_keeps_its_data(folder: RunFolder) -> None:
    path = save(folder, 1, keep=1)
    with safetensors.safe_open(path / "model.safetensors", framework="pt") as mapped:
        early = mapped.get_tensor("encoder.weight")
        loaded = load_checkpoint(folder)
        save_checkpoint(folder, 1, groups(77), {}, keep=1)
        save(folder, 2, keep=1)
        assert not path.exists()
        assert torch.equal(early, groups(1)["model"]["encoder.weight"])
        assert torch.equal(mapped.get_tensor("encoder.weight"), groups(1)["model"]["encoder.weight"])
    assert_whole(loaded, 1)
    assert_whole(load_checkpoint(folder), 2)


def test_two_hundred_saves_leak_no_descriptor_and_no_disk(folder: RunFolder) -> None:
    save(folder, 0, keep=2)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with folder.writing():
        for step in range(1, 201):
            save(folder, step, keep=2)
            folder.append_metrics({"step": step})
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert steps(folder) == [200, 199]
    assert len(files(folder)) < 24


def test_permissions_follow_the_umask(folder: RunFolder) -> None:
    before = os.umask(0o022)
    try:
        path = save(folder, 1, best=True)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in [*path.iterdir(), folder.checkpoints / "latest"]}
    assert modes == {0o644}
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


@pytest.mark.parametrize("group", ["model", "ema", "optimizer"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_tensors_are_never_saved(folder: RunFolder, group: str, value: float) -> None:
    save(folder, 1)
    spoiled = groups(2)
    name = next(iter(spoiled[group]))
    spoiled[group][name][3, 5] = value
    with pytest.raises(DivergenceError, match=f"{group}/{name}") as caught:
        save_checkpoint(folder, 2, spoiled, {}, keep=1)
    assert caught.value.exit_code == 4
    assert steps(folder) == [1]


def test_rewinding_leaves_nothing_of_a_later_history(folder: RunFolder) -> None:
    for step in (1, 2, 3):
        folder.append_metrics({"step": step})
        save(folder, step)
    told = Notes()
    assert rewind(folder, 2, progress=told) == 1
    assert steps(folder) == [2, 1]
    assert [row["step"] for row in folder.read_metrics()] == [1, 2]
    assert any("step 3" in note for note in told.notes)


def test_a_vanished_folder_is_named(folder: RunFolder) -> None:
    shutil.rmtree(folder.path)
    with pytest.raises(ResourceError, match=str(folder.checkpoints)) as caught:
        save(folder, 1)
    assert caught.value.exit_code == 5


def test_a_disk_that_returns_other_bytes_is_found_out(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    save(folder, 1, keep=1)

    def rot(path: Path, name: str) -> None:
        if name == "after-rename":
            damage_flip(folder.checkpoints / "000002" / "ema.safetensors")

    monkeypatch.setattr("headwater.runs.checkpoint.failpoint", lambda name: rot(folder.path, name))
    with pytest.raises(ResourceError, match=r"ema\.safetensors"):
        save(folder, 2, keep=1)
    assert steps(folder) == [2, 1]
