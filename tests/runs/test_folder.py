"""A14, A15, A17, D8, E4 and the log: where a run may be, who may write it, what survives."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.errors import CheckpointError, ConfigError, ResourceError, UsageError
from headwater.progress import SilentProgress
from headwater.runs.folder import RunFolder
from headwater.settings import RunSettings


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


def test_places_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for path in ("/", "full", "file", "data", "data/runs/x", "link/x", "full/../data/x"):
        with pytest.raises(UsageError):
            RunFolder.create(tmp_path / path, data_path=tmp_path / "data")
    RunFolder.create(tmp_path / "full", exist_ok=True)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"
    assert not list((tmp_path / "data").iterdir())


def test_opening_what_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "moons-nsf-001" / "checkpoints").mkdir(parents=True)
    with pytest.raises(UsageError, match="moons-nsf-001"):
        RunFolder.open(tmp_path / "moons-nfs-001")
    with pytest.raises(CheckpointError, match=r"config\.toml"):
        RunFolder.open(tmp_path / "moons-nsf-001")


def test_settings_come_back_equal_even_where_none_is_not_the_default(folder: RunFolder) -> None:
    values = {
        "seed": 7,
        "model": {"name": "nsf", "width": 3},
        "training": {"patience": None, "steps": 5},
        "optimizer": {"clip": None},
    }
    settings = RunSettings.parse(values)
    folder.write_settings(settings)
    assert RunFolder.open(folder.path).read_settings() == settings


@pytest.mark.parametrize(
    "text",
    [
        "model = !!python/object/apply:os.system [touch canary]",
        "model = __import__('os').system('touch canary')",
        "a = " + "[" * 1_000_000,
        'name = "' + "x" * 10_000_000 + '"',
        "seed = 1\nseed = 2",
        "[training]\nlayers = 1",
    ],
)
def test_hostile_settings_are_parse_errors(folder: RunFolder, text: str) -> None:
    (folder.path / "config.toml").write_text(text)
    with pytest.raises(ConfigError):
        folder.read_settings()


@pytest.mark.parametrize(
    "data",
    [b"[" * 1_000_000, b'{"a":' * 100_000, b'{"a": 1, "a": 2}', b'{"a": NaN}', b"[1]", b"\xff", b"", b" " * 40_000_000],
)
def test_hostile_json_is_an_error_that_names_the_file(folder: RunFolder, data: bytes) -> None:
    (folder.path / "run.json").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"run\.json"):
        folder.read_json("run.json")


def test_files_get_the_permissions_of_the_umask(folder: RunFolder) -> None:
    before = os.umask(0o022)
    try:
        folder.write_json("run.json", {"a": 1})
        folder.write_json("run.json", {"a": 2})
        folder.append_metrics({"step": 1})
        modes = {stat.S_IMODE((folder.path / name).stat().st_mode) for name in ("run.json", "metrics.jsonl")}
    finally:
        os.umask(before)
    assert modes == {0o644}
    assert not [entry.name for entry in folder.path.iterdir() if ".tmp-" in entry.name]


def test_a_torn_last_line_is_cut_off_before_the_next(folder: RunFolder) -> None:
    folder.append_metrics({"step": 1, "loss": 0.5})
    with folder.metrics.open("ab") as file:
        file.write(b'{"step": 2, "lo')
    assert [row["step"] for row in folder.read_metrics()] == [1]
    folder.append_metrics({"step": 2, "loss": float("nan")})
    rows = folder.read_metrics()
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[1]["loss"] != rows[1]["loss"]
    json.loads(folder.metrics.read_text().splitlines()[1], parse_constant=lambda word: pytest.fail(word))


def test_truncating_the_log_drops_later_rows_and_keeps_events(folder: RunFolder) -> None:
    for step in range(1, 6):
        folder.append_metrics({"step": step})
    folder.append_event("rollback", step=5)
    assert folder.truncate_metrics(3) == 2
    assert [row["step"] for row in folder.read_metrics()] == [1, 2, 3, 5]
    assert folder.truncate_metrics(3) == 0


def test_the_log_is_not_written_through_a_link(folder: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("mine")
    folder.metrics.symlink_to(tmp_path / "thesis")
    with pytest.raises(ResourceError):
        folder.append_metrics({"step": 1})
    assert (tmp_path / "thesis").read_text() == "mine"


def test_a_second_writer_is_told_who_the_first_is(folder: RunFolder) -> None:
    code = (
        "import sys; from pathlib import Path; from headwater.runs.folder import RunFolder; import os\n"
        "with RunFolder.open(sys.argv[1]).writing():\n"
        "    print(os.getpid(), flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code, folder.path], stdin=pipe, stdout=pipe, text=True) as first:
        assert first.stdout is not None
        pid = first.stdout.readline().strip()
        with pytest.raises(ResourceError, match=rf"process {pid} on {os.uname().nodename}"), folder.writing():
            pass
        first.kill()
        first.wait()
    told = Notes()
    with (
        folder.writing(progress=told),
        pytest.raises(ResourceError, match=f"process {os.getpid()} "),
        folder.writing(),
    ):
        pass
    assert any(f"process {pid}" in note and "taken over" in note for note in told.notes)
    told = Notes()
    with folder.writing(progress=told):
        pass
    assert told.notes == []


def test_a_lock_is_released_by_an_error_and_after_the_folder_is_gone(folder: RunFolder) -> None:
    with pytest.raises(RuntimeError), folder.writing():
        raise RuntimeError
    with folder.writing():
        shutil.rmtree(folder.path)


def test_a_folder_deleted_while_writing_is_named(folder: RunFolder) -> None:
    with folder.writing():
        shutil.rmtree(folder.path)
        for write in (
            lambda: folder.append_metrics({"step": 1}),
            lambda: folder.write_json("run.json", {}),
            lambda: folder.write_settings(RunSettings()),
        ):
            with pytest.raises(ResourceError, match=str(folder.path)):
                write()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_read_only_folder_is_named(folder: RunFolder, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Path.open

    def refuse(self: Path, *mode: Any, **more: Any) -> Any:
        if folder.path in self.parents:
            raise OSError(number, os.strerror(number), str(self))
        return usual(self, *mode, **more)

    folder.write_json("run.json", {"a": 1})
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ResourceError, match=str(folder.path)) as caught:
        folder.write_json("run.json", {"a": 2})
    monkeypatch.undo()
    assert caught.value.exit_code == 5
    assert caught.value.hint
    assert ("are free" in str(caught.value)) == (number == errno.ENOSPC)
    assert folder.read_json("run.json") == {"a": 1}


def test_another_user_cannot_write_and_is_told_so(folder: RunFolder) -> None:
    """As root every folder is writable; so the write is tried by nobody, where that is possible."""
    code = (
        "import os, sys\n"
        "from headwater.errors import ResourceError\n"
        "from headwater.runs.folder import RunFolder\n"
        "folder = RunFolder(__import__('pathlib').Path(sys.argv[1]))\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try:\n"
        "    folder.write_json('run.json', {})\n"
        "except ResourceError as error:\n"
        "    print(error); sys.exit(error.exit_code)\n"
    )
    folder.path.chmod(0o555)
    done = subprocess.run([sys.executable, "-c", code, folder.path], capture_output=True, text=True, check=False)
    folder.path.chmod(0o755)
    assert (done.returncode, done.stderr) == (5, "")
    assert str(folder.path) in done.stdout
