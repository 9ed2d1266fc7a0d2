"""The models ``manifold`` and ``flow-mixture``: options, seams, what they learn, what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from headwater.errors import ConfigError, UnsupportedEventError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch, GenerativeModel, Invertible
from headwater.models.flows.manifold import ManifoldFlow
from headwater.models.flows.mixture import FlowMixture
from headwater.rng import Rng
from headwater.testing.cells import CELLS

SMALL: dict[str, Any] = {"transforms": 2, "width": 16, "blocks": 1, "bins": 4}


def event(support: Support, size: int, *, alone: bool = True, **bounds: float) -> EventSpec:
    segments = tuple(Segment(support=support, **bounds) for _ in range(size)) if alone else (
        Segment(support=support, size=size),
    )  # fmt: skip
    return EventSpec(shape=(size,), segments=segments)


def build(spec: EventSpec, context: int = 0, *, spread: float = 0.3, **settings: Any) -> ManifoldFlow:
    torch.manual_seed(0)
    model = ManifoldFlow(ManifoldFlow.Config.parse(SMALL | settings), spec, ContextSpec(size=context)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
        for part in model.modules():
            if isinstance(getattr(part, "mask", None), Tensor):
                part.weight.mul_(part.mask)
    return model


def train(model: GenerativeModel, x: Tensor, steps: int, lr: float = 1e-2) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        rows = torch.arange(256 * step, 256 * (step + 1)) % len(x)
        optimizer.zero_grad()
        model.loss(Batch(x[rows]), "model", Rng.of(step, 256)).total.backward()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("cells", "spec", "settings"),
    [
        ("interval", event(Support.INTERVAL, 1, low=-1, high=3), {}),
        ("circle", event(Support.CIRCLE, 1), {"circle": "moebius"}),
        ("torus", event(Support.CIRCLE, 2), {"circle": "moebius", "kind": "coupling"}),
        ("sphere", event(Support.SPHERE, 3, alone=False), {"kind": "coupling"}),
        ("simplex", event(Support.SIMPLEX, 3, alone=False), {"simplex": "log-ratio"}),
    ],
)
def test_densities_of_every_option_integrate_to_one(cells: str, spec: EventSpec, settings: dict[str, Any]) -> None:
    model = build(spec, spread=0.1, **settings)
    x, size = CELLS[cells]()
    with torch.no_grad():
        total = model.log_prob(x).value.exp().sum().item() * size
    assert total == pytest.approx(1, abs=5e-3)


def test_a_density_on_the_three_sphere_integrates_to_one() -> None:
    x = Rng.of(0, 20_000).normal("x", 4, dtype=torch.float64)
    with torch.no_grad():
        p = build(event(Support.SPHERE, 4, alone=False)).log_prob(x / x.norm(dim=1, keepdim=True)).value.exp()
    weight = p * 2 * math.pi**2
    assert abs(weight.mean().item() - 1) < 4 * weight.std().item() / len(x) ** 0.5


@pytest.mark.parametrize("positive", ["log", "softplus"])
def test_a_density_of_positive_numbers_integrates_to_one(positive: str) -> None:
    model = build(event(Support.POSITIVE, 1), positive=positive)
    y = torch.linspace(-16, 12, 40_001, dtype=torch.float64)
    with torch.no_grad():
        p = model.log_prob(y.exp()[:, None]).value.exp() * y.exp()
    assert torch.trapezoid(p, y).item() == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("circle", ["spline", "moebius"])
@pytest.mark.parametrize(("low", "high"), [(None, None), (-180.0, 180.0), (0.0, 24.0)])
def test_a_turn_changes_nothing(circle: str, low: float | None, high: float | None) -> None:
    spec = EventSpec(shape=(3,), segments=(Segment(support=Support.CIRCLE, size=2, low=low, high=high), Segment()))
    model = build(spec, circle=circle)
    start, turn = low or 0.0, (2 * math.pi if high is None else high) - (low or 0.0)
    x = torch.tensor([[start, start + 0.3 * turn, 0.5]], dtype=torch.float64)
    moved = x + torch.tensor([[turn, -turn, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(model.log_prob(moved).value, model.log_prob(x).value, rtol=1e-9, atol=1e-9)
    before = x - torch.tensor([[1e-9, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(model.log_prob(before).value, model.log_prob(x).value, rtol=1e-5, atol=1e-5)
    samples = model.sample(300, rng=Rng.of(0, 300))[:, :2]
    assert ((samples >= start) & (samples < start + turn)).all()


def test_an_interval_end_is_a_value_with_a_density() -> None:
    model = build(event(Support.INTERVAL, 1, low=0, high=1))
    x = torch.tensor([[0.0], [1e-12], [1 - 1e-12], [1.0]], dtype=torch.float64)
    found = model.log_prob(x).value
    torch.testing.assert_close(found[[0, 3]], found[[1, 2]], rtol=1e-6, atol=1e-6)


def test_it_learns_a_density_across_the_seam() -> None:
    mises = torch.distributions.VonMises(torch.tensor(0.0), torch.tensor(4.0))
    x = torch.remainder(mises.sample((8192,)), 2 * math.pi)[:, None]
    model = ManifoldFlow(ManifoldFlow.Config(**SMALL | {"bins": 8}), event(Support.CIRCLE, 1), ContextSpec())
    train(model, x[:4096], 100, lr=3e-2)
    with torch.no_grad():
        gap = (mises.log_prob(x[4096:, 0]) - model.log_prob(x[4096:]).value).mean().item()
        ends = model.log_prob(torch.tensor([[0.0], [2 * math.pi]])).value
    assert -0.01 < gap < 0.03, f"divergence from the truth {gap:.3f} nats"
    assert ends[0].item() == pytest.approx(ends[1].item(), abs=1e-3)


def test_it_learns_a_density_on_the_sphere() -> None:
    """Von Mises and Fisher's: ``k / (4 pi sinh k) exp(k w)`` with the height ``w`` along an axis, here the first."""
    k, rng = 6.0, Rng.of(0, 8192)
    u, t = rng.uniform("height"), 2 * math.pi * rng.uniform("angle")
    w = 1 + torch.log(u + (1 - u) * math.exp(-2 * k)) / k
    ring = (1 - w * w).clamp(min=0).sqrt()
    x = torch.stack([w, ring * t.cos(), ring * t.sin()], dim=1)
    x = x / x.norm(dim=1, keepdim=True)
    truth = math.log(k / (4 * math.pi * math.sinh(k))) + k * w
    model = ManifoldFlow(
        ManifoldFlow.Config(**SMALL | {"bins": 8}), event(Support.SPHERE, 3, alone=False), ContextSpec()
    )
    train(model, x[:4096], 200, lr=2e-2)
    with torch.no_grad():
        gap = (truth[4096:] - model.log_prob(x[4096:]).value).mean().item()
        samples = model.sample(2000, rng=Rng.of(1, 2000))
    assert -0.02 < gap < 0.08, f"divergence from the truth {gap:.3f} nats"
    assert samples[:, 0].mean().item() == pytest.approx(1 / math.tanh(k) - 1 / k, abs=0.02)


def test_discrete_elements_are_refused_with_advice() -> None:
    with pytest.raises(UnsupportedEventError, match=r"continuous.*binary"):
        build(event(Support.BINARY, 2))


@pytest.mark.parametrize("setting", [{"circle": "square"}, {"bins": 1}, {"base": "resampled"}, {"simplex": "none"}])
def test_options_that_do_not_exist_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        ManifoldFlow.Config.parse(setting)


@pytest.mark.parametrize("size", [1, 3])
def test_spheres_and_circles_of_no_size_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r"at least two|low < high"):
        Segment(support=Support.SPHERE, size=1) if size == 1 else Segment(support=Support.CIRCLE, low=1, high=1)


COMPONENT = {"name": "realnvp", "transforms": 2, "width": 16, "blocks": 1}


def mixture(components: int, context: int = 0, **component: Any) -> FlowMixture:
    torch.manual_seed(0)
    config = FlowMixture.Config(components=components, component=COMPONENT | component)
    return FlowMixture(config, EventSpec.real(2), ContextSpec(size=context))


def test_a_mixture_of_flows_keeps_clusters_apart_where_one_flow_leaves_bridges() -> None:
    rng = Rng.of(0, 8192)
    centres = torch.tensor([[-6.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    x = centres[(rng.uniform("k") * 3).long()] + 0.4 * rng.normal("x", 2)
    each = torch.distributions.Normal(centres, 0.4).log_prob(x[:, None]).sum(-1)
    truth = torch.logsumexp(each - math.log(3), dim=1)[4096:].mean().item()
    model = mixture(3)
    model.initialize(Batch(x[:1024]), Rng.of(0, 1024))
    train(model, x[:4096], 120, lr=3e-3)
    with torch.no_grad():
        score = model.log_prob(x[4096:])
        samples = model.sample(2000, rng=Rng.of(1, 2000))
    assert score.kind == "exact"
    assert truth - score.value.mean().item() < 0.05
    distance = torch.cdist(samples, centres).amin(dim=1)
    assert (distance > 2.0).float().mean().item() < 0.005
    assert not isinstance(model, Invertible)


def test_the_weights_of_a_mixture_follow_the_context_and_its_density_is_the_sum() -> None:
    model = mixture(2, context=3)
    x, c = torch.randn(5, 2), torch.randn(5, 3)
    weights = model.log_weights(5, c).exp()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5))
    assert not torch.allclose(weights, model.log_weights(5, c.flip(0)).exp())
    parts = torch.stack([flow.log_prob(x, context=c).value for flow in model.flows], dim=1)  # type: ignore[operator]
    torch.testing.assert_close(model.log_prob(x, context=c).value.exp(), (weights * parts.exp()).sum(dim=1))


def test_a_mixture_of_estimates_is_an_estimate() -> None:
    score = mixture(2, base="resampled").log_prob(torch.randn(4, 2))
    assert score.kind == "estimate"
    assert score.stderr is not None
    assert (score.stderr > 0).all()


@pytest.mark.parametrize("component", [{"name": "vae"}, {"name": "flow-mixture"}, {"name": "nsf", "binz": 3}])
def test_components_that_are_no_flows_are_refused(component: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="component"):
        FlowMixture(FlowMixture.Config(component=component), EventSpec.real(2), ContextSpec())
