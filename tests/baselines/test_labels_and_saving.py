"""What all baselines share: labels, determinism, saving, and what they are for on real digits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.baselines.gaussian_mixture import GaussianMixture
from headwater.models.baselines.independent import Independent
from headwater.models.baselines.kernel_density import KernelDensity
from headwater.models.baselines.mixture import component_slots, covariance_kind
from headwater.rng import Rng

LABEL = ContextSpec(size=3, classes=("a", "b", "c"))
ALL = pytest.mark.parametrize(
    ("cls", "config"),
    [(Independent, {"components": 4}), (GaussianMixture, {"components": 4}), (KernelDensity, {"max_points": 400})],
    ids=["independent", "gaussian-mixture", "kernel-density"],
)


def labelled(n: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Class ``c`` lies around ``4 c``; class frequencies are 3 : 2 : 1."""
    rng = Rng.of(seed, n)
    label = torch.tensor([0, 0, 0, 1, 1, 2])[torch.arange(n) % 6]
    return rng.normal("x", 2, dtype=torch.float64) + 4.0 * label[:, None], torch.eye(3, dtype=torch.float64)[label]


def built(cls: Any, config: dict[str, Any], context: ContextSpec = LABEL) -> Any:
    return cls(cls.Config.parse(config), EventSpec.real(2), context).double()


@ALL
def test_without_a_label_the_classes_are_mixed_by_frequency(cls: Any, config: dict[str, Any]) -> None:
    x, context = labelled(360)
    model = built(cls, config)
    model.fit(Batch(x, context), Rng.of(0, 1))
    held, _ = labelled(30, seed=1)
    frequency = (context.sum(0) + 0.5) / (context.sum() + 1.5)
    each = torch.stack([model.log_prob(held, context=c.expand(30, -1)).value for c in torch.eye(3).double()], dim=1)
    torch.testing.assert_close(model.log_prob(held).value, torch.logsumexp(each + torch.log(frequency), dim=1))
    assert torch.equal(model.log_prob(held).value, model.log_prob(held, context=torch.zeros(30, 3)).value)


@ALL
def test_labels_are_used(cls: Any, config: dict[str, Any]) -> None:
    x, context = labelled(360)
    model = built(cls, config)
    model.fit(Batch(x, context), Rng.of(0, 1))
    held, truth = labelled(60, seed=1)
    entropy = 2.8379  # of two standard normals
    assert -float(model.log_prob(held, context=truth).value.mean()) == pytest.approx(entropy, abs=0.45)
    drawn = model.sample(600, context=torch.eye(3)[torch.arange(600) % 3].double(), rng=Rng.of(5, 600))
    for c in range(3):
        assert float(drawn[c::3].mean()) == pytest.approx(4.0 * c, abs=0.3)
    free = model.sample(3000, rng=Rng.of(6, 3000))
    assert float(free.mean()) == pytest.approx(4 * (2 / 6 + 2 / 6), abs=0.3)


@ALL
def test_a_class_without_rows_still_has_a_density(cls: Any, config: dict[str, Any]) -> None:
    x, context = labelled(120)
    context[context[:, 2] > 0] = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    model = built(cls, config)
    model.fit(Batch(x, context), Rng.of(0, 1))
    score = model.log_prob(x[:10], context=torch.eye(3).double()[2].expand(10, -1)).value
    assert bool(score.isfinite().all())


@ALL
def test_rows_without_a_label_and_constant_columns_are_survived(cls: Any, config: dict[str, Any]) -> None:
    x, context = labelled(60)
    context[::5] = 0
    x[:, 1] = 2.5
    model = built(cls, config)
    model.fit(Batch(x, context), Rng.of(0, 1))
    assert bool(model.log_prob(x, context=context).value.isfinite().all())
    assert bool(model.sample(20, rng=Rng.of(1, 20)).isfinite().all())


@ALL
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_very_few_rows_are_survived(cls: Any, config: dict[str, Any], rows: int) -> None:
    x, _ = labelled(rows)
    model = built(cls, config, ContextSpec())
    model.fit(Batch(x), Rng.of(0, 1))
    assert bool(model.log_prob(x).value.isfinite().all())


@ALL
def test_fitting_is_deterministic_and_survives_saving(cls: Any, config: dict[str, Any]) -> None:
    x, context = labelled(240)
    first, second, loaded = (built(cls, config) for _ in range(3))
    first.fit(Batch(x, context), Rng.of(3, 1))
    second.fit(Batch(x, context), Rng.of(3, 1))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    loaded.load_state_dict(first.state_dict())
    assert torch.equal(loaded.log_prob(x, context=context).value, first.log_prob(x, context=context).value)
    rng = Rng.of(4, 9)
    assert torch.equal(loaded.sample(9, rng=rng), first.sample(9, rng=rng))


@ALL
def test_more_rows_than_the_limit_are_fitted_on_a_part(cls: Any, config: dict[str, Any]) -> None:
    x, _ = labelled(300)
    limit = {"max_points": 50} if cls is KernelDensity else {**config, "max_rows": 50}
    model = built(cls, limit, ContextSpec())
    model.fit(Batch(x), Rng.of(0, 1))
    assert -float(model.log_prob(x).value.mean()) < 6


def test_covariances_are_as_rich_as_memory_allows() -> None:
    assert covariance_kind(64, 10) == "full"
    assert component_slots("full", 64, 10, 32) == 320
    assert covariance_kind(784, 10) == "full"
    assert component_slots("full", 784, 10, 32) == 20
    assert covariance_kind(3072, 10) == "tied"
    assert covariance_kind(12288, 1) == "diagonal"


@pytest.mark.parametrize("kind", ["tied", "diagonal"])
def test_poorer_covariances_fit_and_sample(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.models.baselines.mixture._BUDGET", 5 if kind == "tied" else 1)
    x, context = labelled(240)
    model = built(GaussianMixture, {"components": 2})
    assert model.kind == kind
    model.fit(Batch(x, context), Rng.of(0, 1))
    drawn = model.sample(2000, context=context[:1].expand(2000, -1), rng=Rng.of(0, 2000))
    own = x[context[:, 0] > 0]
    torch.testing.assert_close(drawn.mean(0), own.mean(0), atol=0.15, rtol=0)
    assert float(drawn.std()) == pytest.approx(float(own.std()), abs=0.15)


def test_knowing_the_digit_helps_the_floor() -> None:
    digits = load_digits()
    x = torch.tensor(digits.images[:, None], dtype=torch.float32)
    context = torch.eye(10)[torch.tensor(digits.target)]
    model = Independent(
        Independent.Config.parse({}),  # type: ignore[arg-type]
        EventSpec.pixels(1, 8, 8, levels=17),
        ContextSpec(size=10, classes=tuple("0123456789")),
    )
    model.fit(Batch(x[:1400], context[:1400]), Rng.of(0, 1), Batch(x[1400:1500], context[1400:1500]))
    blind = -float(model.log_prob(x[1500:]).value.mean())
    told = -float(model.log_prob(x[1500:], context=context[1500:]).value.mean())
    assert told < blind < 115
    assert told < 105
