"""Every example in ``--help``, in the README and in the docs is executed as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.sandbox import fill, run_command

from headwater.cli.examples import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_examples_of_help_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    for line in dict.fromkeys(line for lines in COMMANDS.values() for line in lines):
        assert run_command(line) == 0, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_code_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(console|python)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks, f"{page.name} shows nothing that runs"
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, page.name, "exec"), {})
            continue
        for line in block.splitlines():
            assert line.startswith("$ "), f"{page.name}: {line!r} is not a command"
            assert run_command(line[2:]) == 0, line
