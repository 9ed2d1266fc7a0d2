"""A plug-in registers by entry point, obeys the laws and trains; a broken one is told what it breaks."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import headwater
from headwater.errors import UsageError
from headwater.models import registry
from headwater.models.base import Losses
from headwater.testing import check_model

SOURCE = Path(__file__).resolve().parents[1] / "examples" / "plugin" / "src" / "headwater_laplace" / "__init__.py"


@pytest.fixture
def laplace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("headwater_laplace", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "headwater_laplace", module)
    spec.loader.exec_module(module)
    point = EntryPoint("laplace", "headwater_laplace:Laplace", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    return module


def test_the_example_is_short() -> None:
    assert len(SOURCE.read_text().splitlines()) <= 60


def test_the_example_obeys_every_law(laplace: Any) -> None:
    check_model("laplace")


def test_the_example_trains_and_scores(laplace: Any, tmp_path: Path) -> None:
    x = np.random.default_rng(0).laplace(3, 2, size=(2000, 1)).astype("float32")
    run = headwater.fit(x, "laplace", out=tmp_path / "run", steps=400, smallest=0.01)
    entropy = 1 + np.log(2 * 2)
    assert abs(-run.log_prob(x).value.mean().item() - entropy) < 0.1
    assert run.sample(10).shape == (10, 1)
    assert any(entry.name == "laplace" for entry in headwater.list_models())


def test_two_models_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("nsf", "elsewhere:Flow", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(UsageError, match="'nsf'"):
        registry.names()


def test_broken_models_are_caught(laplace: Any) -> None:
    """Each fault is found by the law that is about it."""

    class Sum(laplace.Laplace):
        def loss(self, batch: Any, player: str, rng: Any) -> Losses:
            mean = super().loss(batch, player, rng)
            return Losses(mean.total * batch.x.shape[0], mean.terms)

    class Unnormalized(laplace.Laplace):
        def log_prob(self, x: Any, **options: Any) -> Any:
            score = super().log_prob(x, **options)
            return score.shifted(torch.full_like(score.value, 0.5))

    class Deaf(laplace.Laplace):
        def _place(self, context: Any) -> Any:
            return super()._place(None)

    class Batchy(laplace.Laplace):
        def sample(self, n: int, *, context: Any = None, rng: Any, **options: Any) -> Any:
            x = super().sample(n, context=context, rng=rng, **options)
            return x - x.mean(0)

    faults = {
        Sum: "loss_is_a_mean_over_events",
        Unnormalized: "density_integrates_to_one",
        Deaf: "context_matters",
        Batchy: "a_sample_does_not_depend_on_its_batch",
    }
    for cls, law in faults.items():
        with pytest.raises(AssertionError, match=law):
            check_model(cls)
