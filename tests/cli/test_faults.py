"""What a user sees when something is wrong: one message, the right exit code, no traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.sandbox import fill, run_command

from headwater.cli.app import app

CODE = "from headwater.cli import main; main()"

#: Every option of every command. A new flag is a promise: adding one means adding it here.
FLAGS = {
    "demo": {"--out", "-o", "--seed", "--quick", "--quiet"},
    "inspect": {"--label", "--schema", "--sheet", "--set", "--quiet"},
    "fit": {
        *("--model", "-m", "--out", "-o", "--label", "--steps", "--epochs", "--minutes", "--seed", "--device"),
        *("--config", "--set", "--dry-run", "--exist-ok", "--quiet"),
    },
    "resume": {"--steps", "--epochs", "--minutes", "--allow-data-change", "--quiet"},
    "sample": {
        *("--number", "-n", "--out", "-o", "--label", "--seed", "--batch-size", "--device", "--set", "--exist-ok"),
        "--quiet",
    },
    "score": {"--out", "-o", "--draws", "--seed", "--batch-size", "--device", "--set", "--exist-ok", "--quiet"},
    "evaluate": {"--split", "--number", "-n", "--seed", "--device", "--quiet"},
    "compare": {"--split", "--number", "-n", "--report", "--json", "--device", "--quiet"},
    "models": set(),
    "checks": set(),
    "cite": {"--bibtex"},
    "completion": set(),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_list_of_flags_is_frozen() -> None:
    found = {}
    for name in FLAGS:
        arguments = app[name].assemble_argument_collection()
        found[name] = {flag for argument in arguments for flag in argument.names if flag.startswith("-")}
    assert found == FLAGS


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("headwater modles", 2, "models"),
        ("headwater fit moons.csv --modle nsf", 2, "--model"),
        ("headwater fit moons.csv --model nfs", 2, "'nsf'"),
        ("headwater fit moons.csv --set optimiser.lr=1", 2, "optimizer.lr"),
        ("headwater fit moons.csv --set optimizer.lr=abc", 2, "optimizer.lr"),
        ("headwater fit moons.csv --set lr=1", 2, "lr"),
        ("headwater fit moons.csv --epochs -3", 2, "greater than 0"),
        ("headwater fit moons.csv --set model.transfroms=3", 2, "transforms"),
        ("headwater fit moons.csv --set nonsense", 2, "key=value"),
        ("headwater fit moons.csv --config none.toml", 2, "none.toml"),
        ("headwater fit", 2, "Expected data"),
        ("headwater fit nothing.csv", 3, "nothing.csv"),
        ("headwater sample nowhere", 2, "nowhere"),
        ("headwater compare", 2, ""),
        ("headwater models zzz*", 2, "zzz"),
        ("headwater fit moons.csv --device cuda --steps 1", 5, "cpu"),
        ("headwater fit moons.csv --out moons.csv --steps 1", 2, "moons.csv"),
        ("headwater fit moons.csv --model pixel-transformer", 2, "made"),
    ],
)
def test_one_message_and_an_exit_code(
    line: str, code: int, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(line) == code
    shown = capsys.readouterr()
    assert "error: " in shown.err
    assert words in shown.err, shown.err
    assert "Traceback" not in shown.err
    assert not (folder / "runs").exists()


def test_dry_run_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(folder.rglob("*"))
    assert run_command("headwater fit people.csv --model nsf --dry-run --quiet") == 0
    assert sorted(folder.rglob("*")) == before
    shown = capsys.readouterr().out
    for word in ("parameters", "memory", "disk"):
        assert word in shown.lower(), shown
    assert run_command("headwater fit nothing.csv --dry-run --quiet") == 3
    assert run_command("headwater fit moons.csv --dry-run --set model.bins=x --quiet") == 2


def test_help_is_instant_and_needs_no_torch() -> None:
    spy = "import sys; sys.argv=['headwater','fit','--help']\ntry:\n from headwater.cli import main; main()\nfinally:\n"
    spy += " assert 'torch' not in sys.modules and 'numpy' not in sys.modules and 'polars' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", spy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -c '{CODE}' models | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("nsf")


@pytest.mark.parametrize("environment", [{"LANG": "C", "PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252"}])
def test_poor_terminals(environment: dict[str, str], folder: Path) -> None:
    settings = {"TERM": "dumb", "HOME": "/proc/none", "PATH": "/usr/bin:/bin", **environment}
    done = subprocess.run(
        [sys.executable, "-c", CODE, "inspect", "people.csv"],
        env=settings,
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"income" in done.stdout


def test_completion_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert run_command(f"headwater completion {shell}") == 0
        assert "evaluate" in capsys.readouterr().out


def test_without_torchvision_and_other_heavy_things() -> None:
    """Forcing their import to fail changes nothing."""
    code = "import sys\nfor m in ('torchvision','torchaudio','pandas'): sys.modules[m]=None\n"
    code += "import headwater, numpy as np, tempfile\n"
    code += "d=tempfile.mkdtemp()\nx=np.random.default_rng(0).normal(size=(200,2)).astype('float32')\n"
    code += "r=headwater.fit(x,'independent',out=d+'/r')\n"
    code += "assert r.sample(3).shape==(3,2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
