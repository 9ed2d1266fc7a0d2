from __future__ import annotations

import pytest

from headwater.errors import ConfigError, UsageError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.registry import find, load_class, names
from headwater.scores import Score


def test_segments_must_cover_the_shape() -> None:
    with pytest.raises(ConfigError, match="cover"):
        EventSpec.parse({"shape": [3], "segments": [{"size": 2}]})


def test_bounded_supports_need_bounds() -> None:
    with pytest.raises(ConfigError, match="low <= high"):
        Segment.parse({"support": "integer", "low": 3, "high": 1})
    with pytest.raises(ConfigError, match="number of classes"):
        Segment.parse({"support": "categorical"})


def test_cardinality() -> None:
    assert Segment(support=Support.INTEGER, low=-1, high=3).cardinality == 5
    assert Segment(support=Support.BINARY).cardinality == 2
    assert Segment().cardinality is None


def test_slices_follow_the_flattened_order() -> None:
    event = EventSpec(shape=(4,), segments=(Segment(size=3), Segment(support=Support.BINARY)))
    assert [place for place, _ in event.slices()] == [slice(0, 3), slice(3, 4)]


def test_classes_and_size_agree() -> None:
    with pytest.raises(ConfigError):
        ContextSpec.parse({"size": 2, "classes": ["a"]})


def test_unknown_model_is_a_registry_miss_and_imports_nothing() -> None:
    for name in ("os.system", "nfs", "../x"):
        with pytest.raises(UsageError, match="No model is called"):
            load_class(name)
    with pytest.raises(UsageError, match="'nsf'"):
        find("nfs")


def test_patterns_match_names_and_families() -> None:
    assert {entry.name for entry in names("energy")} == {"potts"}
    assert names("nothing*") == ()


def test_a_shift_weakens_the_kind() -> None:
    import torch

    exact = Score(torch.zeros(2), "exact")
    assert exact.shifted(torch.ones(2)).kind == "exact"
    assert exact.shifted(torch.ones(2), bound=True).kind == "lower bound"
    assert Score(torch.zeros(2), "estimate").shifted(torch.ones(2), bound=True).kind == "estimate"
    assert torch.allclose(Score(torch.full((1,), -8 * 0.6931472), "exact").bits_per_dim(4), torch.tensor([2.0]))
