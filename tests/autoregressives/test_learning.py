"""A short training brings the autoregressive models near what is known to be reachable."""

from __future__ import annotations

import torch

from headwater.distributions.toys import TOYS
from headwater.events import ContextSpec, EventSpec
from headwater.models.autoregressives.made import MADE, MADEConfig
from headwater.models.autoregressives.pixel_transformer import PixelTransformer, PixelTransformerConfig
from headwater.models.base import Batch, GenerativeModel
from headwater.networks.patches import causal_window, choose_patch, patch_order
from headwater.rng import Rng


def train(model: GenerativeModel, x: torch.Tensor, steps: int, batch: int, lr: float) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    for step in range(steps):
        rows = torch.arange(step * batch, (step + 1) * batch) % len(x)
        optimizer.zero_grad()
        model.loss(Batch(x[rows]), "model", Rng.of(step, batch)).total.backward()
        optimizer.step()
        schedule.step()


def test_made_comes_near_the_entropy_of_moons() -> None:
    moons = TOYS["moons"]
    x = moons.sample(20_000, Rng.of(0, 20_000))
    held = moons.sample(4_000, Rng.of(1, 4_000))
    model = MADE(MADEConfig(width=64, blocks=1, mixtures=16), EventSpec.real(2), ContextSpec())
    train(model, x, 250, 256, 5e-3)
    with torch.no_grad():
        gap = float((moons.log_prob(held) - model.log_prob(held).value).mean())
    assert -0.02 < gap < 0.1


def test_pixel_transformer_learns_that_rows_repeat() -> None:
    """Each picture is one random row four times over: four fair coins, ``4 ln 2`` nats, not sixteen."""
    row = Rng.of(0, 4_000).bernoulli("row", torch.full((4_000, 4), 0.5))
    x = row[:, None, None, :].expand(-1, 1, 4, 4).contiguous()
    config = PixelTransformerConfig(width=16, depth=1, heads=2, patch=(1, 2), patch_width=16)
    model = PixelTransformer(config, EventSpec.pixels(1, 4, 4, levels=2), ContextSpec())
    train(model, x, 150, 64, 5e-3)
    with torch.no_grad():
        nll = -float(model.log_prob(x[:1_000]).value.mean())
    assert 2.7 < nll < 3.3


def test_patches_tile_the_picture() -> None:
    order = patch_order((3, 4, 6), (2, 3))
    assert sorted(order.flatten().tolist()) == list(range(72))
    picture = torch.arange(72).reshape(3, 4, 6)
    assert set(order[1].tolist()) == set(picture[:, :2, 3:].flatten().tolist())
    assert order[0, :3].tolist() == picture[:, 0, 0].tolist(), "the colours of a pixel stand together"


def test_window_holds_the_known_neighbours_alone() -> None:
    order, window = patch_order((1, 4, 4), (1, 2)), causal_window((1, 4, 4), (1, 2), 1)
    known = {t: set(order[:t].flatten().tolist()) for t in range(len(order))}
    for t, places in enumerate(window.tolist()):
        assert set(places) - {16} <= known[t]
    assert set(window[3].tolist()) - {16} == {1, 2, 3, 5}, "above row 1, columns 2-3, and the pixel to the left"


def test_automatic_patches_keep_sequences_short() -> None:
    for side in (4, 8, 28, 29, 32, 64, 96):
        height, width = choose_patch(side, side)
        assert side % height == side % width == 0
        assert (side // height) * (side // width) <= 200
