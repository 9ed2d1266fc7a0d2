from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from headwater.config import Config, apply_assignments, parse_assignment, read_toml, to_toml
from headwater.errors import ConfigError
from headwater.settings import RunSettings

KEYS = st.text(st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=8)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(blacklist_categories=("Cs",))),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3))
)


class Inner(Config):
    rate: float = Field(1.0, gt=0)


class Outer(Config):
    inner: Inner = Inner()
    count: int = Field(1, ge=1)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_toml_round_trip(values: dict[str, object]) -> None:
    assert tomllib.loads(to_toml(values)) == values


def test_every_setting_survives_its_own_file() -> None:
    settings = RunSettings(seed=7, model={"name": "nsf", "bins": 4})
    assert RunSettings.parse(tomllib.loads(to_toml(settings.model_dump(mode="json")))) == settings


def test_unknown_key_offers_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"inner\.raet.*not a setting") as caught:
        Outer.parse({"inner": {"raet": 2}})
    assert "Did you mean 'inner.rate'" in caught.value.hint
    assert caught.value.exit_code == 2


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Outer.parse({"inner": {"rate": -1}, "count": "many"})
    assert "inner.rate" in caught.value.message
    assert "count" in caught.value.message


@pytest.mark.parametrize("text", ["novalue", "=1", "a..b=1", ""])
def test_assignment_without_key_or_value(text: str) -> None:
    with pytest.raises(ConfigError, match="key=value"):
        parse_assignment(text)


def test_assignments_do_not_touch_their_source() -> None:
    source = {"a": {"b": 1}}
    assert apply_assignments(source, ["a.b=2", "c=true"]) == {"a": {"b": 2}, "c": True}
    assert source == {"a": {"b": 1}}


def test_hostile_files_are_refused_fast(tmp_path: Path) -> None:
    deep = tmp_path / "deep.toml"
    deep.write_text("a = " + "[" * 400_000)
    with pytest.raises(ConfigError, match="nested"):
        read_toml(deep)
    big = tmp_path / "big.toml"
    big.write_text("a = '" + "x" * 10_000_000 + "'")
    with pytest.raises(ConfigError, match="at most"):
        read_toml(big)
    code = tmp_path / "code.toml"
    code.write_text("a = !!python/object:os.system")
    with pytest.raises(ConfigError, match="TOML"):
        read_toml(code)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path / "missing.toml")


def test_none_has_a_word() -> None:
    settings = RunSettings.parse(
        apply_assignments({}, ["optimizer.clip=none", "training.patience=none", "data.label=none"])
    )
    assert settings.optimizer.clip is None
    assert settings.training.patience is None
    assert settings.data.label == "none"
