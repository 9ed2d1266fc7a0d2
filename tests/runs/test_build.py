"""D7, D9: a model is looked up by name only, and sized before a byte of it is allocated."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from headwater.errors import ConfigError, HeadwaterError, ResourceError, UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.registry import load_class, names
from headwater.runs.build import build_model, model_bytes
from tests.runs.toy import Toy

EVENT, CONTEXT = EventSpec.real(2), ContextSpec(size=2, classes=("a", "b"))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.runs.build.load_class", lambda _: Toy)


@pytest.mark.parametrize("name", ["os.system", "builtins:eval", "antigravity", "../../x", "nfs", "", None, 3, ["nsf"]])
def test_a_name_that_is_not_registered_imports_nothing(name: Any) -> None:
    before = set(sys.modules)
    with pytest.raises(UsageError):
        build_model({"name": name}, EVENT, CONTEXT)
    assert not {module for module in set(sys.modules) - before if not module.startswith(("headwater", "importlib"))}


@pytest.mark.usefixtures("toy")
def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="widht"):
        build_model({"name": "toy", "widht": 3}, EVENT, CONTEXT)


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    "settings", [{"layers": 90_000, "width": 1}, {"layers": 90_000, "width": 90_000}, {"width": 90_000}]
)
def test_a_model_beyond_memory_is_refused_without_allocating_it(settings: dict[str, int]) -> None:
    before = resident()
    with pytest.raises(ResourceError, match=r"toy|Toy") as caught:
        build_model({"name": "toy", **settings}, EVENT, CONTEXT, limit_bytes=2**30)
    assert caught.value.exit_code == 5
    assert resident() - before < 400 * 2**20


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("settings", [{"layers": 10**9}, {"width": 10**9}, {"width": 2**62}])
def test_a_size_that_no_machine_has_is_refused_at_the_border(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at most 100000 is accepted"):
        build_model({"name": "toy", **settings}, EVENT, CONTEXT)


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.usefixtures("toy")
def test_the_copies_that_training_needs_must_fit_too() -> None:
    size = model_bytes(build_model({"name": "toy", "width": 100}, EVENT, CONTEXT))
    build_model({"name": "toy", "width": 100}, EVENT, CONTEXT, limit_bytes=6 * size, copies=5)
    with pytest.raises(ResourceError, match="5 copies"):
        build_model({"name": "toy", "width": 100}, EVENT, CONTEXT, limit_bytes=4 * size, copies=5)


@pytest.mark.usefixtures("toy")
def test_the_estimate_does_not_change_the_weights_that_follow() -> None:
    torch.manual_seed(3)
    built = build_model({"name": "toy"}, EVENT, CONTEXT)
    torch.manual_seed(3)
    plain = Toy(Toy.Config(), EVENT, CONTEXT)
    assert all(torch.equal(built.state_dict()[name], tensor) for name, tensor in plain.state_dict().items())


def whole_numbered() -> list[tuple[str, str]]:
    return [
        (entry.name, field)
        for entry in names()
        if entry.origin == "headwater"
        for field, info in load_class(entry.name).Config.model_fields.items()
        if (info.annotation is int or str(info.annotation) == "int | None") and not field.endswith("seed")
    ]


@pytest.mark.parametrize(("name", "field"), whole_numbered(), ids=lambda part: part)
def test_a_billion_of_anything_is_refused_for_every_model(name: str, field: str) -> None:
    native = load_class(name).encoding is Encoding.NATIVE
    event = EventSpec.pixels(1, 4, 4) if native else EventSpec.real(1, 4, 4)
    with pytest.raises(HeadwaterError) as caught:
        build_model({"name": name, field: 10**9}, event, CONTEXT, limit_bytes=2**30)
    assert caught.value.exit_code in (2, 5)
