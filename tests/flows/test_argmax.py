"""The model ``argmax``: regions of reals stand for values, bounds are bounds, mixed rows are modelled whole."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from headwater.bijections.threshold import argmax_threshold, cell_threshold, sign_threshold
from headwater.errors import UnsupportedEventError, UsageError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.flows.argmax import ArgmaxFlow
from headwater.rng import Rng

DOUBLE = torch.float64


def category(classes: int) -> Segment:
    return Segment(support=Support.CATEGORICAL, classes=classes)


ROW = EventSpec(
    shape=(10,),
    segments=(
        category(3),
        Segment(size=2),
        Segment(support=Support.INTEGER, low=-2, high=9),
        category(11),
        Segment(support=Support.BINARY),
        Segment(support=Support.POSITIVE),
        Segment(support=Support.INTERVAL, low=2, high=5),
        category(1),
        Segment(support=Support.INTEGER, low=5, high=5),
    ),
)
SMALL_ROW = EventSpec(shape=(3,), segments=(category(3), Segment(support=Support.BINARY), category(2)))


def rows(event: EventSpec, n: int) -> Tensor:
    rng, columns = Rng.of(3, n), []
    for place, segment in event.slices():
        u = rng.uniform(f"{place.start}", segment.size, dtype=DOUBLE)
        if segment.support.discrete:
            columns.append((u * (segment.cardinality or 1)).floor() + (segment.low or 0))
        elif segment.support is Support.INTERVAL:
            columns.append((segment.low or 0) + u * ((segment.high or 1) - (segment.low or 0)))
        else:
            columns.append(u * 3 if segment.support is Support.POSITIVE else 4 * u - 2)
    return torch.cat(columns, dim=1)


def build(event: EventSpec, context: int = 0, **settings: Any) -> ArgmaxFlow:
    small = {"transforms": 2, "width": 24, "blocks": 1}
    return ArgmaxFlow(ArgmaxFlow.Config.parse(small | settings), event, ContextSpec(size=context)).double()


def train(model: ArgmaxFlow, x: Tensor, steps: int, context: Tensor | None = None) -> None:
    model.initialize(Batch(x[:256], None if context is None else context[:256]), Rng.of(0, min(256, len(x))))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(steps):
        some = torch.arange(128 * step, 128 * (step + 1)) % len(x)
        optimizer.zero_grad()
        batch = Batch(x[some], None if context is None else context[some])
        model.loss(batch, "model", Rng.of(step + 1, 128)).total.backward()
        optimizer.step()


@pytest.mark.parametrize("categories", ["argmax", "digits", "cells"])
def test_what_is_lifted_drops_to_itself(categories: str) -> None:
    model, x = build(ROW, categories=categories), rows(ROW, 500)
    model.initialize(Batch(x), Rng.of(0, 500))
    v, weight = model.lift(x, None, Rng.of(1, 500))
    back = model.drop(v)
    assert torch.equal(back[:, :1], x[:, :1])
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    assert bool(torch.isfinite(weight).all())
    assert torch.equal(model.drop(model.lift(x.float(), None, Rng.of(1, 500))[0].float())[:, 3:6], x[:, 3:6].float())


@pytest.mark.parametrize("categories", ["argmax", "digits", "cells"])
def test_samples_of_an_untrained_model_lie_in_their_supports(categories: str) -> None:
    x = build(ROW, categories=categories).sample(2000, rng=Rng.of(0, 2000), temperature=3)
    for place, segment in ROW.slices():
        values = x[:, place]
        if segment.support.discrete:
            low, count = segment.low or 0.0, segment.cardinality or 1
            assert set(values.unique().tolist()) <= {low + code for code in range(count)}
        elif segment.support is not Support.REAL:
            assert bool((values > (segment.low or 0)).all())


SHARES = torch.tensor([[0.0, 0.2, 0.9], [0.2, 0.7, 0.1], [0.8, 0.1, 0.0]], dtype=DOUBLE)
THRESHOLDS = {
    "sign": lambda u: sign_threshold(u, torch.tensor([0.0, 1.0, 1.0], dtype=DOUBLE).expand_as(u)),
    "argmax": lambda u: argmax_threshold(u, torch.tensor([0.0, 1.0, 0.0], dtype=DOUBLE).expand_as(u)),
    "cell": lambda u: cell_threshold(u, *(share.expand_as(u) for share in SHARES)),
}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_log_determinants_of_thresholds_are_those_of_autodiff(name: str) -> None:
    for u in 3 * torch.randn(20, 3, dtype=DOUBLE):
        jacobian = torch.autograd.functional.jacobian(lambda w: THRESHOLDS[name](w)[0], u)
        assert isinstance(jacobian, Tensor)
        torch.testing.assert_close(THRESHOLDS[name](u)[1].sum(), torch.linalg.slogdet(jacobian)[1])


def test_thresholds_reach_everything_in_their_region_and_nothing_else() -> None:
    u = 3 * torch.randn(4000, 3, dtype=DOUBLE)
    assert bool((THRESHOLDS["argmax"](u)[0].argmax(1) == 1).all())
    v = torch.tensor([[-30.0, 2.0, 1.999]], dtype=DOUBLE)  # any v whose greatest is the second
    above = v[:, 1:2] - v
    wanted = torch.where(above > 0, v[:, 1:2] - torch.log(torch.expm1(above)), v)
    torch.testing.assert_close(THRESHOLDS["argmax"](wanted)[0], v)
    w = torch.sigmoid(THRESHOLDS["cell"](u)[0])
    for column, (low, high) in enumerate([(0.0, 0.2), (0.2, 0.9), (0.9, 1.0)]):
        assert low - 1e-12 <= float(w[:, column].min()) < low + 1e-3
        assert high - 1e-3 < float(w[:, column].max()) <= high + 1e-12
    assert bool(((THRESHOLDS["sign"](u)[0] > 0) == torch.tensor([False, True, True])).all())


@pytest.mark.parametrize("categories", ["argmax", "digits", "cells"])
def test_bounds_rise_with_draws_to_the_frequencies_of_samples(categories: str) -> None:
    rng = Rng.of(0, 1000)
    first = (3 * rng.uniform("first", 1, dtype=DOUBLE) ** 2).floor()
    x = torch.cat(
        [first, (rng.uniform("coin", 1, dtype=DOUBLE) < 0.2 + 0.3 * first).double(), (first > 1).double()], dim=1
    )
    model = build(SMALL_ROW, categories=categories)
    train(model, x, 40)
    every = torch.tensor(list(itertools.product(range(3), range(2), range(2))), dtype=DOUBLE)
    again = every.repeat(60, 1)  # bounds hold in expectation
    single, eight = (model.log_prob(again, rng=Rng.of(1, 720), draws=draws).value.mean() for draws in (1, 8))
    most = model.log_prob(every, rng=Rng.of(2, 12), draws=1000)
    assert most.kind == "lower bound"
    assert single < eight < most.value.mean() + 0.02
    p = most.value.exp()
    assert most.stderr is not None
    noise = float((p * most.stderr).norm())
    assert float(p.sum()) == pytest.approx(1, abs=4 * noise + 1e-3)
    assert noise < 0.05
    n = 10_000
    seen = (model.sample(n, rng=Rng.of(2, n))[:, None] == every[None]).all(-1).double().mean(0)
    gap = (seen - p).abs() / ((p / n).sqrt() + 2 * p * most.stderr + 1e-4)
    assert float(gap.max()) < 5


def test_rows_of_continuous_elements_are_exact() -> None:
    for segment, x in (
        (Segment(support=Support.POSITIVE), torch.logspace(-9, 9, 40_001, dtype=DOUBLE)),
        (
            Segment(support=Support.INTERVAL, low=2, high=5),
            2 + 3 * torch.sigmoid(torch.linspace(-30, 30, 40_001, dtype=DOUBLE)),
        ),
    ):
        model = build(EventSpec(shape=(1,), segments=(segment,)))
        with torch.no_grad():
            score = model.log_prob(x[:, None])
        assert score.kind == "exact"
        assert float(torch.trapezoid(score.value.exp(), x)) == pytest.approx(1, abs=2e-3)


def test_one_flow_learns_how_reals_and_categories_hang_together() -> None:
    """``y`` a fair class of three, ``r ~ N(2 y, 1/4)``, a coin that says whether ``r > 2``: 2.6 nats by quadrature."""
    rng = Rng.of(0, 3000)
    y = (3 * rng.uniform("class", 1)).floor()
    r = 2 * y + 0.5 * rng.normal("real", 1)
    x = torch.cat([r, y, (r > 2).float()], dim=1)
    event = EventSpec(shape=(3,), segments=(Segment(), category(3), Segment(support=Support.BINARY)))
    model = build(event).float()
    train(model, x[:2000], 120)
    score = model.log_prob(x[2000:], rng=Rng.of(5, 1000))
    truth = 1.0986 + 1.4189 - 0.6931  # ln 3 and the entropy of the normal; the coin follows from r
    assert truth - 0.05 < -float(score.value.mean()) < truth + 0.45
    drawn = model.sample(2000, rng=Rng.of(6, 2000))
    assert float(((drawn[:, 0] > 2) == (drawn[:, 2] > 0.5)).float().mean()) > 0.9
    for code in range(3):
        assert float(drawn[drawn[:, 1] == code, 0].mean()) == pytest.approx(2 * code, abs=0.3)


def test_user_mistakes_are_named() -> None:
    with pytest.raises(UnsupportedEventError, match="circle"):
        build(EventSpec(shape=(1,), segments=(Segment(support=Support.CIRCLE),)))
    with pytest.raises(UsageError, match="draws"):
        build(SMALL_ROW).log_prob(torch.zeros(2, 3, dtype=DOUBLE))


COMPILED = """
import torch
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.flows.argmax import ArgmaxFlow
from headwater.models.flows.idf import IDF
from headwater.rng import Rng

torch.set_num_threads(1)
category, number = Segment(support=Support.CATEGORICAL, classes=3), Segment(support=Support.INTEGER, low=0, high=5)
row = EventSpec(shape=(3,), segments=(category, number, Segment(support=Support.BINARY)))
for model in (
    IDF(IDF.Config(couplings=2, levels=2, width=8, blocks=0), row, ContextSpec(size=2)),
    ArgmaxFlow(ArgmaxFlow.Config(flow="realnvp", transforms=1, width=8, posterior=0), row, ContextSpec(size=2)),
):
    x = torch.ones(6, *model.event.shape)
    batch, rng = Batch(x, torch.randn(6, 2)), Rng.of(0, 6)
    fast = torch.compile(model.loss, fullgraph=True, backend="aot_eager")(batch, "model", rng).total
    torch.testing.assert_close(fast, model.loss(batch, "model", rng).total)
    fast.backward()
    assert all(p.grad is not None for p in model.parameters())
"""


def test_the_losses_compile_without_a_break() -> None:
    """Both flows of discrete data, in a process of its own: the run-time shape checks of the tests are breaks."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
