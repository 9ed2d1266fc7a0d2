"""The pure parts of training against formulas and against PyTorch's own."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from headwater.errors import ConfigError, UsageError
from headwater.models.base import Player
from headwater.runs.device import choose_device
from headwater.runs.folder import RunFolder
from headwater.settings import OptimizerSettings, TrainingSettings
from headwater.training.budget import Pace, evaluation_interval, plan, replaced
from headwater.training.ema import Ema, ema_decay
from headwater.training.energy import energy_distance
from headwater.training.metrics import Averages
from headwater.training.optimizer import PlayerOptimizer
from headwater.training.order import permutation
from headwater.training.prefetch import ReadAhead
from headwater.training.schedule import rate
from headwater.training.settings import merge_settings
from tests.training.stand_ins import Plain, Tiny, arrays, fit, run_settings


def test_permutations_are_uniform() -> None:
    first = [int(permutation(6, seed, 0)[0]) for seed in range(3000)]
    counts = np.bincount(first, minlength=6)
    assert ((counts - 500) ** 2 / 500).sum() < 25  # chi-squared with 5 degrees of freedom: p = 1e-4
    assert permutation(50, 1, 0).tolist() != permutation(50, 1, 1).tolist()


def test_schedules() -> None:
    cosine = [rate(t, 110, warmup=10, kind="cosine") for t in range(110)]
    assert cosine[:10] == pytest.approx([(t + 1) / 10 for t in range(10)])
    assert cosine[60] == pytest.approx(0.5)
    assert cosine[109] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))
    assert rate(60, 110, warmup=10, kind="linear") == pytest.approx(0.5)
    assert rate(100, 110, warmup=10, kind="constant") == 1.0
    assert rate(0, 5, warmup=100, kind="constant") == 1.0  # warm-up is at most a tenth
    assert rate(50, None, warmup=100, kind="cosine") == pytest.approx(0.51)


def test_the_average_forgets_as_it_should() -> None:
    torch.manual_seed(0)
    dataset = arrays()
    from headwater.data.codec import Codec

    codec = Codec.fit(dataset, Plain.encoding)
    model = Plain(Plain.Config(), codec.event, codec.context)
    ema = Ema(model, 0.9)
    expected = model.net[0].weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            model.net[0].weight.add_(1.0)
        ema.update(step)
        d = ema_decay(step, 0.9)
        expected = d * expected + (1 - d) * model.net[0].weight.detach()
    assert torch.allclose(ema.average().net[0].weight, expected, atol=1e-5)
    assert Ema(model, 0.0).average() is model


def _optimizer(**settings: float) -> tuple[nn.Linear, PlayerOptimizer]:
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    names = {id(p): n for n, p in layer.named_parameters()}
    return layer, PlayerOptimizer(Player("all", tuple(layer.parameters())), OptimizerSettings(**settings), names)


def test_weight_decay_is_for_matrices_only() -> None:
    layer, optimizer = _optimizer(lr=0.1, weight_decay=0.5)
    before = [p.detach().clone() for p in layer.parameters()]
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step(1.0, torch.tensor(True))
    assert torch.allclose(layer.weight, before[0] * 0.95)
    assert torch.equal(layer.bias, before[1])


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    layer, optimizer = _optimizer()
    before = [p.detach().clone() for p in layer.parameters()]
    for p in layer.parameters():
        p.grad = torch.full_like(p, float("nan"))
    optimizer.step(1.0, torch.tensor(False))
    assert all(torch.equal(p, b) for p, b in zip(layer.parameters(), before, strict=True))


def test_the_optimizer_restores_exactly() -> None:
    layer, optimizer = _optimizer()

    def step() -> None:
        for p in layer.parameters():
            p.grad = torch.sin(p.detach() * 10)
        optimizer.step(0.7, torch.tensor(True))

    step()
    saved = {k: v.clone() for k, v in optimizer.state().items()}
    weights = [p.detach().clone() for p in layer.parameters()]
    assert {"all/weight/exp_avg", "all/bias/step"} <= saved.keys()
    step()
    expected = layer.weight.detach().clone()
    with torch.no_grad():
        for p, w in zip(layer.parameters(), weights, strict=True):
            p.copy_(w)
    optimizer.restore(saved)
    step()
    assert torch.equal(layer.weight, expected)
    optimizer.restore({})
    assert optimizer.state() == {}


def test_energy_distance_of_gaussians() -> None:
    """For N(0,1) and N(a,1) in one dimension: 2E|X-Y| - 2E|X-X'| in closed form."""
    torch.manual_seed(0)
    a, s = 1.5, math.sqrt(2)
    far = s * math.sqrt(2 / math.pi) * math.exp(-(a**2) / 4) + a * math.erf(a / 2)
    expected = 2 * far - 2 * 2 / math.sqrt(math.pi)
    x, y = torch.randn(4000, 1), torch.randn(4000, 1) + a
    assert float(energy_distance(x, y)) == pytest.approx(expected, abs=0.05)
    assert abs(float(energy_distance(x, torch.randn(4000, 1)))) < 0.01


def test_budgets() -> None:
    assert plan(TrainingSettings(epochs=2.5, batch_size=10), 100).steps == 25
    assert plan(TrainingSettings(minutes=1), 100) == (None, "minutes")
    assert plan(TrainingSettings(minutes=1, steps=7), 100) == (7, "steps")
    assert plan(TrainingSettings(batch_size=10), 10**6).steps == 20_000
    assert evaluation_interval(1000, None) == 50
    assert evaluation_interval(None, None) is None
    assert evaluation_interval(1000, 7) == 7


def ticked(pace: Pace, seconds: Iterable[float]) -> Pace:
    for elapsed in seconds:
        pace.tick(elapsed)
    return pace


def test_minutes_become_steps() -> None:
    pace = Pace(1.0)
    found = []
    for n in range(1, 12):
        pace.tick(2.0 + 0.5 * n)
        found.append(pace.total(100 + n, 2.0 + 0.5 * n, reserve=10.0))
    assert found[:7] == [None] * 7
    done = next(n for n, total in enumerate(found, 1) if total is not None)
    left = 60 - (2 + 0.5 * done) - 10
    assert found[done - 1] == 100 + done + int(left / 0.5)
    assert pace.overdrawn(76.0)
    assert not pace.overdrawn(70.0)


def test_a_stall_in_the_first_seconds_spoils_only_the_first_plan() -> None:
    pace = ticked(Pace(1.0), (0.1, 0.2, 5.2, 5.3, 5.4))
    assert pace.total(5, 5.4, reserve=0.0) == 5 + int(54.6 * 3 / 5.2)
    ticked(pace, (5.5, 5.6, 5.7, 5.8))
    assert pace.again(9, 5.8) == 9 + int(54.2 / 0.1)
    assert replaced(36, 551)
    assert not replaced(550, 551)


def test_steps_repeated_after_a_rollback_count_for_the_pace() -> None:
    pace = ticked(Pace(1.0), (0.1, 0.2, 1.2, 2.2, 3.2))
    assert pace.again(2, 3.2) == 2 + 56  # back at step 2 after five steps


def test_minutes_already_used_up_end_the_run() -> None:
    pace = Pace(0.01)
    found = []
    for n in (1, 2, 3):
        pace.tick(5.0 + n)
        found.append(pace.total(n, 5.0 + n, reserve=0.0))
    assert found == [None, None, 3]


def test_a_run_of_minutes_ends_near_them_and_keeps_its_plan(tmp_path: Path) -> None:
    result = fit(
        tmp_path / "run", run_settings("tiny", steps=None, minutes=0.04, evaluate_every=None, ema=0.0, patience=None)
    )
    assert result.stopped_because == "minutes"
    assert result.step > 3
    events = [row for row in RunFolder(tmp_path / "run").read_metrics() if row.get("event") == "planned"]
    assert len(events) >= 1
    assert events[-1]["steps"] == result.step


def test_averages_are_means_and_restore() -> None:
    sums = Averages()
    sums.add(("a", "b"), torch.tensor([1.0, 2.0]))
    saved, counted = sums.sums(), sums.counted
    again = Averages()
    again.restore(saved, counted)
    again.add(("a", "b"), torch.tensor([2.0, 4.0]))
    assert again.read() == {"a": 1.5, "b": 3.0}
    assert again.sums() == {}


def test_reading_ahead_survives_going_back() -> None:
    with ReadAhead(lambda step: step * 2, workers=3) as read:
        assert [read(step) for step in (0, 1, 2, 1, 2, 3)] == [0, 2, 4, 2, 4, 6]


@pytest.mark.parametrize(
    ("user", "offered"),
    [
        ({"optimiser": {"lr": 1}}, "'optimizer.lr'"),
        ({"optimizer": {"rate": 1, "lrr": 2}}, "'optimizer.lr'"),
        ({"lr": 1}, "'optimizer.lr'"),
        ({"model": {"name": "tiny", "widht": 4}}, "'model.width'"),
        ({"training": {"epoch": 4}}, "'training.epochs'"),
    ],
)
def test_i1_unknown_settings_offer_the_nearest(user: dict[str, dict[str, int]], offered: str) -> None:
    with pytest.raises(ConfigError, match="There is no setting") as refused:
        merge_settings(user, Tiny)
    assert offered in refused.value.hint
    assert refused.value.exit_code == 2


def test_settings_go_over_defaults() -> None:
    assert merge_settings({}, Tiny).training.steps == 30
    assert merge_settings({}, Tiny).optimizer.lr == 1e-2
    assert merge_settings({}, Tiny, pictures=True).training.batch_size == 7
    assert merge_settings({}, Tiny, pictures=True).training.steps == 30
    assert merge_settings({"training": {"batch_size": 9}}, Tiny, pictures=True).training.batch_size == 9
    given = merge_settings({"training": {"minutes": 2}, "optimizer": {"lr": 0.5}}, Tiny)
    assert (given.training.steps, given.training.minutes, given.training.batch_size) == (None, 2, 16)
    assert given.optimizer.lr == 0.5
    with pytest.raises(ConfigError, match="width"):
        merge_settings({"model": {"name": "tiny", "width": 0}}, Tiny)
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        merge_settings({"optimizer": {"lr": "abc"}}, Tiny)


def test_devices_are_named() -> None:
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="not a device"):
        choose_device("gpu")
