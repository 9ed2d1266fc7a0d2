"""The model ``glow``: pictures of any size, every mask and map, bounds below enumerated probabilities."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from headwater.bijections.logit import Logit
from headwater.distributions.dequantization import UniformDequantizer, VariationalDequantizer
from headwater.errors import ConfigError, UnsupportedEventError, UsageError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.flows.glow import Glow
from headwater.rng import Rng
from headwater.testing import LAWS
from headwater.testing.cases import Case

SMALL: dict[str, Any] = {"steps": 2, "width": 8, "blocks": 1, "bins": 4, "components": 2}
LABEL = ContextSpec(size=3, classes=("a", "b", "c"))
NONE = ContextSpec()


def build(event: EventSpec, context: ContextSpec = NONE, *, spread: float = 0.1, **settings: Any) -> Glow:
    torch.manual_seed(0)
    model = Glow(Glow.Config.parse(SMALL | settings), event, context).double()
    case = Case(Glow, {}, "image", event, context)
    model.initialize(case.batch(32), Rng.of(1, 32))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return model.eval()


CASES = [
    Case(Glow, SMALL | settings, "image", event, context)
    for settings, event, context in (
        ({"coupling": "affine", "masks": "checkerboard"}, EventSpec.real(1, 4, 4), LABEL),
        ({"coupling": "mixture"}, EventSpec.real(1, 5, 7), LABEL),
        ({}, EventSpec.real(3, 1, 3), NONE),
        ({"dequantization": "variational", "masks": "checkerboard"}, EventSpec.pixels(2, 5, 6, levels=2), LABEL),
    )
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.event.shape}")
def test_the_laws_hold_on_other_pictures(case: Case) -> None:
    for law in LAWS.values():
        law(case)


@pytest.mark.parametrize("masks", ["channel", "checkerboard"])
@pytest.mark.parametrize("coupling", ["affine", "spline", "mixture"])
def test_all_latents_are_kept_and_the_density_is_that_of_autodiff(masks: str, coupling: str) -> None:
    model = build(EventSpec.real(1, 4, 4), LABEL, masks=masks, coupling=coupling)  # two levels: with a split
    x, c = torch.randn(3, 1, 4, 4, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    z = model.to_noise(x, context=c)
    assert z.shape == (3, 16)
    torch.testing.assert_close(model.from_noise(z, context=c), x, rtol=1e-9, atol=1e-9)
    full = torch.autograd.functional.jacobian(lambda v: model.to_noise(v, context=c).sum(0), x)
    assert isinstance(full, Tensor)
    ladj = torch.linalg.slogdet(full.transpose(0, 1).flatten(2)).logabsdet
    expected = ladj - 0.5 * z.square().sum(1) - 8 * math.log(2 * math.pi)
    score = model.log_prob(x, context=c)
    torch.testing.assert_close(score.value, expected)
    assert score.kind == "exact"


def test_every_split_and_coupling_sees_the_label() -> None:
    model = build(EventSpec.real(1, 4, 4), LABEL)
    x, c = torch.randn(3, 1, 4, 4, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    assert (model.log_prob(x, context=c).value != model.log_prob(x, context=c.roll(1, 0)).value).all()
    seen = [name for name, _ in model.named_parameters() if name.endswith("condition.weight")]
    conditioners = {name.partition("conditioner")[0] for name, _ in model.named_parameters() if "conditioner" in name}
    assert len({name.partition("conditioner")[0] for name in seen}) == len(conditioners) > 4
    assert any(".prior." in name for name in seen)


def enumerated(model: Glow, grid: int = 96) -> tuple[Tensor, Tensor]:
    """All pictures of 1 x 1 x 2 pixels of three levels, and their probabilities by quadrature over the two cells."""
    pictures = torch.tensor(list(itertools.product(range(3), repeat=2)), dtype=torch.float64).reshape(9, 1, 1, 2)
    axis = (torch.arange(grid, dtype=torch.float64) + 0.5) / grid
    u = torch.cartesian_prod(axis, axis).reshape(-1, 1, 1, 2)
    logs = [torch.logsumexp(model.flow.log_prob((v + u) / 3), 0) for v in pictures]
    return pictures, torch.stack(logs) - math.log(len(u)) - 2 * math.log(3)


@torch.no_grad()
@pytest.mark.parametrize("dequantization", ["uniform", "variational"])
def test_the_bound_stays_below_the_probability_and_rises_with_the_draws(dequantization: str) -> None:
    event = EventSpec.pixels(1, 1, 2, levels=3)
    model = build(event, spread=0.3, dequantization=dequantization, coupling="affine", alpha=0.01)
    pictures, exact = enumerated(model)
    assert 0.1 < exact.exp().sum().item() <= 1  # what is left lies outside the cells
    means = []
    for draws, repeats in ((1, 400), (4, 400), (64, 50)):
        many = pictures.repeat_interleave(repeats, dim=0)
        score = model.log_prob(many, rng=Rng.of(3, len(many)), draws=draws)
        assert score.kind == "lower bound"
        assert score.protocol["draws"] == draws
        values = score.value.reshape(9, repeats)
        means.append(values.mean(1))
        assert (means[-1] <= exact + 4 * values.std(1) / repeats**0.5).all()
    assert means[0].mean() < means[1].mean() < means[2].mean()
    assert ((exact - means[2]) < 0.4 * (exact - means[0])).all()  # it closes in on the probability itself


def test_variational_dequantization_is_a_density_of_the_cell() -> None:
    torch.manual_seed(0)
    q = VariationalDequantizer((1, 1, 2), 3, width=8).double()
    with torch.no_grad():
        for parameter in q.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    n = 10_000
    v = torch.tensor([[[[0.0, 2.0]]]], dtype=torch.float64).expand(n, -1, -1, -1)
    with torch.no_grad():
        u, log_q = q(v, None, Rng.of(0, n))
    assert ((u > 0) & (u < 1)).all()
    weights = torch.exp(-log_q)  # their mean is the area of the cell
    assert abs(weights.mean().item() - 1) < 5 * weights.std().item() / n**0.5
    assert log_q.std() > 0.05
    halves = (u[:, 0, 0, 0] < 0.5).double()
    assert abs((weights * halves).mean().item() - 0.5) < 5 * (weights * halves).std().item() / n**0.5


def test_variational_dequantization_starts_near_the_uniform_one() -> None:
    v = torch.randint(5, (64, 1, 6, 6)).double()
    u, log_q = VariationalDequantizer((1, 6, 6), 5).double()(v, None, Rng.of(0, 64))
    assert abs(log_q.mean().item()) / 36 < 0.1
    assert abs(u.mean().item() - 0.5) < 0.1
    u, log_q = UniformDequantizer()(v, None, Rng.of(0, 64))
    assert torch.equal(log_q, torch.zeros(64, dtype=torch.float64))
    assert abs(u.mean().item() - 0.5) < 0.05


def test_whole_numbers_come_back_from_the_noise() -> None:
    event = EventSpec(shape=(1, 4, 4), segments=(Segment(support=Support.INTEGER, size=16, low=-3, high=200),))
    model = build(event)
    x = torch.randint(-3, 201, (6, 1, 4, 4)).double()
    assert torch.equal(model.from_noise(model.to_noise(x)), x)
    samples = model.sample(50, rng=Rng.of(0, 50), temperature=4)
    assert samples.min() >= -3
    assert samples.max() <= 200
    assert torch.equal(samples, samples.round())


def test_without_temperature_all_samples_are_the_mode() -> None:
    samples = build(EventSpec.real(1, 4, 6)).sample(3, rng=Rng.of(0, 3), temperature=0)
    assert torch.equal(samples[0], samples[2])


def test_a_flow_of_pictures_learns_the_bits_of_what_it_sees() -> None:
    """Pictures of rows that are black or white: four bits in 16 pixels, where independent pixels have 16."""
    torch.manual_seed(0)
    config = Glow.Config(steps=2, width=8, coupling="affine", alpha=1e-3)
    model = Glow(config, EventSpec.pixels(1, 4, 4, levels=2), NONE)
    x = torch.randint(2, (512, 1, 4, 1)).float().expand(-1, -1, -1, 4).contiguous()
    model.initialize(Batch(x), Rng.of(0, 512))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(100):
        optimizer.zero_grad()
        model.loss(Batch(x[:64].roll(step)), "model", Rng.of(step, 64)).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 20)
        optimizer.step()
    with torch.no_grad():
        bits = model.log_prob(x[256:], rng=Rng.of(9, 256)).bits_per_dim(16).mean().item()
    assert 0.25 < bits < 0.75, f"{bits} bits per dimension; independent pixels have one"


def test_what_glow_is_not_made_for_is_refused() -> None:
    for event in (
        EventSpec.real(3),
        EventSpec.real(3, 1, 1),
        EventSpec(shape=(1, 1, 2), segments=(Segment(), Segment())),
    ):
        with pytest.raises(UnsupportedEventError, match="glow"):
            Glow(Glow.Config(), event, NONE)
    classes = Segment(support=Support.CATEGORICAL, size=4, classes=3)
    with pytest.raises(UnsupportedEventError, match="whole numbers"):
        Glow(Glow.Config(), EventSpec(shape=(1, 2, 2), segments=(classes,)), NONE)
    with pytest.raises(UsageError, match="halved 2 times"):
        Glow(Glow.Config(levels=3), EventSpec.real(1, 28, 28), NONE)
    with pytest.raises(ConfigError, match="coupling"):
        Glow.Config.parse({"coupling": "cubic"})
    with pytest.raises(UsageError, match="rng"):
        build(EventSpec.pixels(1, 2, 2)).log_prob(torch.zeros(1, 1, 2, 2, dtype=torch.float64))


def test_the_logit_keeps_its_distance_from_zero_and_one() -> None:
    z, ladj = Logit(0.05)(torch.tensor([[0.0, 0.5, 1.0]], dtype=torch.float64))
    torch.testing.assert_close(torch.sigmoid(z), torch.tensor([[0.05, 0.5, 0.95]], dtype=torch.float64))
    expected = 2 * math.log(0.9 / (0.05 * 0.95)) + math.log(0.9 / 0.25)
    assert ladj.item() == pytest.approx(expected)
