"""E5: names of runs are safe on every system, or refused with one that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import UsageError
from headwater.runs.names import check_name, default_name, slug

BAD = [
    "../../x",
    "con",
    "CON.txt",
    "a" * 300,
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "C:\\x",
    "nul\x00",
    "-rf",
    ".hidden",
    "é",
    "x.",
]


@pytest.mark.parametrize("name", BAD)
def test_unsafe_names_are_refused_and_a_safe_one_is_offered(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_name(name)
    offered = caught.value.hint.removeprefix("Use for example: ")
    assert check_name(offered) == offered


@pytest.mark.parametrize("name", [*BAD, "été 2026", "名前", "a" * 99 + "....", "LPT1"])
def test_a_slug_is_always_a_name_and_stays_one(name: str) -> None:
    assert check_name(slug(name)) == slug(name)
    assert slug(slug(name)) == slug(name)


def test_default_names_count_beyond_the_highest(tmp_path: Path) -> None:
    for taken in ("moons-nsf-001", "moons-nsf-007", "moons-nsf-x", "moons-vae-009"):
        (tmp_path / taken).mkdir()
    assert default_name("/data/moons.csv", "nsf", tmp_path) == "moons-nsf-008"
    assert default_name(None, "nsf", tmp_path) == "data-nsf-001"
