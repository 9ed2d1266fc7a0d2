"""Sampling from caches gives what a pass per element gives, and what it gives follows the density."""

from __future__ import annotations

import itertools

import pytest
import torch

from headwater.errors import ConfigError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.autoregressives.made import MADE, MADEConfig
from headwater.models.autoregressives.pixel_transformer import PixelTransformer, PixelTransformerConfig
from headwater.networks.transformer import CausalTransformer
from headwater.rng import Rng

LABEL = ContextSpec(size=3, classes=("a", "b", "c"))
MIXED = EventSpec(
    shape=(5,),
    segments=(
        Segment(size=2),
        Segment(support=Support.CATEGORICAL, classes=4),
        Segment(support=Support.BINARY),
        Segment(support=Support.INTEGER, low=-3, high=90),
    ),
)


def context(n: int) -> torch.Tensor:
    return torch.eye(3, dtype=torch.float64)[torch.arange(n) % 3]


@pytest.mark.parametrize("order", ["natural", "random"])
@pytest.mark.parametrize("event", [MIXED, EventSpec.real(1), EventSpec.pixels(1, 3, 4, levels=6)], ids=str)
def test_made_cache_equals_passes(event: EventSpec, order: str) -> None:
    model = MADE(MADEConfig(width=20, blocks=2, mixtures=3, order=order), event, LABEL).double()
    rng = Rng.of(5, 9)
    fast = model.sample(9, context=context(9), rng=rng, temperature=0.8)
    plain = model.sample(9, context=context(9), rng=rng, temperature=0.8, cache=False)
    torch.testing.assert_close(fast, plain)


@pytest.mark.parametrize("patch", [(1, 1), (1, 2), (2, 2), (4, 4)])
@pytest.mark.parametrize("levels", [5, 256])
def test_pixel_transformer_cache_equals_passes(patch: tuple[int, int], levels: int) -> None:
    config = PixelTransformerConfig(width=16, depth=2, heads=2, patch=patch, patch_width=12, mixtures=3)
    model = PixelTransformer(config, EventSpec.pixels(2, 4, 4, levels=levels), LABEL).double()
    rng = Rng.of(6, 5)
    fast = model.sample(5, context=context(5), rng=rng)
    plain = model.sample(5, context=context(5), rng=rng, cache=False)
    assert torch.equal(fast, plain)
    assert fast.min() >= 0
    assert fast.max() <= levels - 1


def test_steps_of_the_transformer_equal_its_pass() -> None:
    net = CausalTransformer(12, 3, 3).double()
    h = torch.randn(4, 7, 12, dtype=torch.float64)
    cache = net.cache(4, 7)
    steps = torch.stack([net.step(h[:, t], cache, t) for t in range(7)], dim=1)
    torch.testing.assert_close(steps, net(h))


@torch.no_grad()
def test_samples_have_the_frequencies_of_the_density() -> None:
    torch.manual_seed(1)
    event = EventSpec.pixels(1, 2, 2, levels=2)
    model = PixelTransformer(PixelTransformerConfig(width=16, depth=1, heads=2, patch=(1, 2)), event, ContextSpec())
    pictures = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).reshape(-1, 1, 2, 2)
    p = model.log_prob(pictures).value.exp()
    n = 20_000
    codes = (model.sample(n, rng=Rng.of(2, n)).flatten(1) @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long()
    seen = torch.bincount(codes, minlength=16) / n
    assert float((seen - p).abs().max()) < 5 * (0.25 / n) ** 0.5


def test_temperature_narrows() -> None:
    model = MADE(MADEConfig(width=16, blocks=1, mixtures=1), EventSpec.real(2), ContextSpec())
    rng = Rng.of(0, 500)
    cold, warm = (model.sample(500, rng=rng, temperature=t) for t in (0.3, 1.0))
    assert float(cold[:, 0].std()) == pytest.approx(0.3 * float(warm[:, 0].std()), rel=1e-3)
    with pytest.raises(ConfigError):
        model.sample(2, rng=Rng.of(0, 2), temperature=0)


def test_no_context_means_absent_context() -> None:
    model = MADE(MADEConfig(width=16), EventSpec.real(2), LABEL)
    x = torch.randn(4, 2)
    assert torch.equal(model.log_prob(x).value, model.log_prob(x, context=torch.zeros(4, 3)).value)
