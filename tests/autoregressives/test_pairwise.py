"""The pairwise autoregressive model is exact, causal in its order, and handles what is missing."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from headwater.errors import UnsupportedEventError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.autoregressives.pairwise import Pairwise, PairwiseConfig
from headwater.models.base import Batch
from headwater.rng import Rng
from headwater.testing import check_model

PLAIN = ContextSpec()


def columns(*counts: int) -> EventSpec:
    segments = tuple(Segment(support=Support.CATEGORICAL, classes=n) for n in counts)
    return EventSpec(shape=(len(counts),), segments=segments)


def residues(size: int, classes: int) -> EventSpec:
    segment = Segment(support=Support.CATEGORICAL, size=size, classes=classes + 1, missing=True)
    return EventSpec(shape=(size,), segments=(segment,))


def every(*counts: int) -> Tensor:
    return torch.tensor(list(itertools.product(*(range(n) for n in counts))), dtype=torch.float64)


def random_model(event: EventSpec, data: Tensor, *, scale: float = 0.8, **config: object) -> Pairwise:
    torch.manual_seed(1)
    model = Pairwise(PairwiseConfig.model_validate(config), event, PLAIN).double()
    model.initialize(Batch(data), Rng.of(0, len(data)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("order", ["entropy", "natural"])
@pytest.mark.parametrize("patterns", [None, 2])
def test_it_sums_to_one_over_columns_of_different_classes(order: str, patterns: int | None) -> None:
    x = every(3, 2, 4)
    model = random_model(columns(3, 2, 4), x, order=order, patterns=patterns)
    score = model.log_prob(x)
    assert score.kind == "exact"
    assert float(score.value.exp().sum()) == pytest.approx(1.0, abs=1e-12)


@torch.no_grad()
def test_samples_follow_the_density() -> None:
    x, n = every(3, 2, 4), 8000
    model = random_model(columns(3, 2, 4), x)
    mass = model.log_prob(x).value.exp()
    counts = (model.sample(n, rng=Rng.of(2, n))[:, None] == x).all(dim=2).sum(dim=0)
    chi_square = float(((counts - n * mass) ** 2 / (n * mass).clamp(min=0.5)).sum())
    assert chi_square < 24 + 6 * 48**0.5


@torch.no_grad()
def test_the_least_variable_site_comes_first_and_each_sees_those_before_it_alone() -> None:
    data = torch.stack([torch.arange(200) % 4, torch.zeros(200), (torch.arange(200) % 9 == 0) * 1.0], dim=1).double()
    model = random_model(residues(3, 4), data)
    assert model.network.order.tolist() == [1, 2, 0]
    before = model.network(torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64))[0]
    after = model.network(torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64))[0]
    assert torch.allclose(before[[1, 2]], after[[1, 2]])
    assert not torch.allclose(before[0], after[0])


@torch.no_grad()
def test_a_missing_value_contributes_nothing() -> None:
    data = torch.randint(4, (100, 3), generator=torch.Generator().manual_seed(0)).double()
    model = random_model(residues(3, 3), data, order="natural")
    x = torch.tensor([[3.0, 1.0, 2.0], [3.0, 3.0, 3.0]], dtype=torch.float64)
    elements = model.one_hot.log_prob(model.network(x), x)
    assert elements[0, 0] == 0
    assert torch.equal(elements[1], torch.zeros_like(elements[1]))
    first = torch.log_softmax(model.network.fields[1], dim=0)[1]
    assert float(elements[0, 1]) == pytest.approx(float(first), abs=1e-12)
    pairs = torch.tensor([[3.0, a, b] for a in range(3) for b in range(3)], dtype=torch.float64)
    assert float(model.log_prob(pairs).value.exp().sum()) == pytest.approx(1.0, abs=1e-12)
    assert model.sample(100, rng=Rng.of(0, 100)).max() <= 2


@torch.no_grad()
def test_ratios_are_differences_of_log_probabilities() -> None:
    x = every(3, 2, 4)
    model = random_model(columns(3, 2, 4), x)
    log_p = model.log_prob(x).value
    assert torch.allclose(model.log_ratio(x, x[7]).value, log_p - log_p[7])


def test_training_finds_what_couples() -> None:
    rng = torch.Generator().manual_seed(0)
    first = torch.randint(3, (2000, 1), generator=rng)
    second = torch.where(torch.rand(2000, 1, generator=rng) < 0.9, first, torch.randint(3, (2000, 1), generator=rng))
    data = torch.cat([first, torch.randint(3, (2000, 1), generator=rng), second], dim=1).double()
    model = random_model(residues(3, 3), data, scale=0.0, couplings=3.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        losses = model.loss(Batch(data), "model", Rng.of(0, len(data)))
        losses.total.backward()
        optimizer.step()
    agree = 0.9 + 0.1 / 3
    known = 2 * torch.tensor(3.0).log() - agree * torch.tensor(agree).log() - (1 - agree) * torch.tensor(0.1 / 3).log()
    assert float(losses.terms["nll"]) == pytest.approx(float(known), abs=0.05)


def test_reals_are_refused() -> None:
    with pytest.raises(UnsupportedEventError, match="support real"):
        Pairwise(PairwiseConfig(), EventSpec.real(3), PLAIN)


@pytest.mark.parametrize("settings", [{}, {"patterns": 2, "order": "natural"}])
def test_pairwise_obeys_the_laws(settings: dict[str, object]) -> None:
    check_model("pairwise", settings=settings)
