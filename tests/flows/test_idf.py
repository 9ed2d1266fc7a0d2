"""The model ``idf``: lossless on every event, exact, and its shifts learn although they are whole."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from headwater.bijections.shift import Code, interpolated, ring_shift, ring_unshift
from headwater.errors import UnsupportedEventError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.flows.idf import IDF
from headwater.rng import Rng

LABEL = ContextSpec(size=2, classes=("a", "b"))
MIXED = EventSpec(
    shape=(5,),
    segments=(
        Segment(support=Support.INTEGER, low=-1, high=2),
        Segment(support=Support.BINARY),
        Segment(support=Support.CATEGORICAL, classes=3),
        Segment(support=Support.CATEGORICAL, classes=1),
        Segment(support=Support.CATEGORICAL, classes=2),
    ),
)
EVENTS = {
    "row": MIXED,
    "one": EventSpec(shape=(1,), segments=(Segment(support=Support.INTEGER, low=3, high=9),)),
    "picture": EventSpec.pixels(1, 2, 2, levels=3),
    "coins": EventSpec(shape=(2, 2, 2), segments=(Segment(support=Support.BINARY, size=8),)),
    "odd": EventSpec.pixels(1, 1, 3, levels=4),
}


def build(event: EventSpec, context: ContextSpec = LABEL, **settings: Any) -> IDF:
    small = {"couplings": 3, "levels": 2, "width": 12, "blocks": 1, "mixtures": 2}
    model = IDF(IDF.Config.parse(small | settings), event, context).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(2 * torch.randn_like(parameter))
    return model


def every(event: EventSpec) -> Tensor:
    values = [
        range(int(s.low or 0), int(s.low or 0) + (s.cardinality or 0)) for s in event.segments for _ in range(s.size)
    ]
    return torch.tensor(list(itertools.product(*values)), dtype=torch.float64).reshape(-1, *event.shape)


@torch.no_grad()
@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("integer", ["categorical", "logistic"])
def test_it_permutes_the_events_and_their_probabilities_sum_to_one(name: str, integer: str) -> None:
    event = EVENTS[name]
    model, x = build(event, integer=integer), every(EVENTS[name])
    for label in torch.eye(2, dtype=torch.float64):
        given = label.expand(len(x), -1)
        z = model.to_noise(x, context=given)
        assert torch.equal(model.from_noise(z, context=given), x), "lossless, bit by bit"
        assert len(torch.unique(z, dim=0)) == len(x), "no two events share a code"
        assert torch.equal(z, z.round())
        total = model.log_prob(x, context=given).value.exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-12)
    plain = IDF(model.config, event, LABEL).double().to_noise(x)  # shifts start at zero
    assert event.size == 1 or not torch.equal(z, plain), "the couplings move something"


def test_it_starts_as_the_identity_up_to_order() -> None:
    model = IDF(IDF.Config(couplings=4, levels=1, width=8), EVENTS["row"], ContextSpec()).double()
    x = every(MIXED)
    z = model.to_noise(x)
    assert torch.equal(z.sum(dim=1), (x - model.low).sum(dim=1))


def test_codes_that_are_no_codes_count_as_the_nearest() -> None:
    model, x = build(MIXED), every(MIXED)
    found = model.from_noise(3 * torch.randn(200, 5, dtype=torch.float64))
    assert bool((found[:, None] == x[None]).all(-1).any(1).all())


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_shifts_are_undone_and_stay_on_the_ring(size: int) -> None:
    x = torch.arange(float(size)).repeat(40, 1)
    t = torch.linspace(-9, 9, 40)[:, None].expand_as(x)
    sizes = torch.tensor(float(size))
    z = ring_shift(Code.of(x), t, sizes).value
    assert torch.equal(z.sort(dim=1)[0], x), "a permutation for every shift"
    assert torch.equal(ring_unshift(z, t, sizes), x)


def test_slopes_of_shifts_are_those_of_the_interpolation_between_whole_ones() -> None:
    """``L(t)`` is ``f`` at whole shifts and a line between them: its slope at t is ``f(ceil t) - f(floor t)``."""
    table = torch.tensor([0.0, 1.0, 5.0, -6.0, 2.5], dtype=torch.float64)
    x, sizes = torch.arange(5.0, dtype=torch.float64)[:, None], torch.tensor([5.0], dtype=torch.float64)

    def f(code: Tensor) -> Tensor:
        return table[code.long()]

    for shift in (-2.6, -0.4, 0.3, 0.7, 6.2):
        t = torch.full_like(x, shift).requires_grad_()
        out = interpolated(f, ring_shift(Code.of(x), t, sizes), sizes)
        assert torch.equal(out, f(torch.remainder(x + round(shift), 5)))
        (slope,) = torch.autograd.grad(out.sum(), t)
        low = shift // 1
        assert torch.equal(slope, f(torch.remainder(x + low + 1, 5)) - f(torch.remainder(x + low, 5)))


def test_slopes_of_coins_are_those_of_their_exclusive_or() -> None:
    x, sizes = torch.tensor([[0.0], [1.0]]), torch.tensor([2.0])
    for turned in (-0.5, 0.5):
        t = torch.full_like(x, turned).requires_grad_()
        out = interpolated(lambda code: 3 * code, ring_shift(Code.of(x), t, sizes), sizes)
        (slope,) = torch.autograd.grad(out.sum(), t)
        assert slope[0] > 0 > slope[1], "turning a coin raises zero and lowers one, whether it is turned or not"
        torch.testing.assert_close(slope[0], -slope[1])


def test_gradients_of_what_reads_the_codes_are_true_and_go_to_their_owner() -> None:
    table = torch.tensor([[0.0, 1.0], [2.0, 4.0], [7.0, 0.0]], requires_grad=True)
    z, sizes = torch.tensor([[0.0, 2.0]], requires_grad=True), torch.tensor([3.0, 3.0])
    owner = torch.tensor([0, 0, 1, 1])
    out = interpolated(lambda code: table[code.long()].flatten(1), Code.of(z), sizes, owner)
    both, to_table = torch.autograd.grad(out.sum(), (z, table))
    assert out.tolist() == [[0, 1, 7, 0]]
    assert to_table.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert both.tolist() == [[(6 - 1) + (1 - 7), (1 - 7) + (7 - 6)]], "rise and fall, each to one copy of the code"


def test_couplings_alone_learn_that_columns_hang_together() -> None:
    """Two columns in a small range that differ by one: without couplings 2 x 1.39 nats, with them half of it."""
    rng = Rng.of(0, 2000)
    first = (4 * rng.uniform("a", 1)).floor()
    x = torch.cat([first, 6 - first], dim=1)
    segment = Segment(support=Support.INTEGER, size=2, low=0, high=9)
    config = IDF.Config(levels=1, couplings=2, width=32, blocks=1)
    model = IDF(config, EventSpec(shape=(2,), segments=(segment,)), ContextSpec())
    steps = torch.optim.Adam(model.parameters(), lr=2e-2)
    for step in range(200):
        rows = torch.arange(128 * step, 128 * (step + 1)) % 2000
        steps.zero_grad()
        model.loss(Batch(x[rows]), "model", Rng.of(0, 128)).total.backward()
        steps.step()
    with torch.no_grad():
        nll = -float(model.log_prob(x).value.mean())
    assert 1.38 < nll < 2.2, f"{nll:.3f} nats: independent columns have 2.77, the truth has 1.39"


def test_user_mistakes_are_named() -> None:
    with pytest.raises(UnsupportedEventError, match="discrete elements") as caught:
        IDF(IDF.Config(), EventSpec.real(2), ContextSpec())
    assert "argmax" in caught.value.hint
    with pytest.raises(UnsupportedEventError, match="even sides"):
        IDF(IDF.Config(network="conv"), EVENTS["odd"], ContextSpec())
