"""The toy densities integrate to one, and their entropies are those of their samplers."""

from __future__ import annotations

import math

import pytest
import torch

from headwater.distributions.toys import TOYS
from headwater.rng import Rng

every = pytest.mark.parametrize("name", TOYS)


@every
def test_the_density_integrates_to_one(name: str) -> None:
    toy, step = TOYS[name], 0.04
    left, right, bottom, top = toy.box
    xs = torch.arange(left, right, step, dtype=torch.float64) + step / 2
    ys = torch.arange(bottom, top, step, dtype=torch.float64) + step / 2
    total = sum(float(toy.log_prob(rows).exp().sum()) for rows in torch.cartesian_prod(xs, ys).split(4096))
    assert total * step**2 == pytest.approx(1, abs=1e-6)


@every
def test_the_entropy_is_that_of_the_samples(name: str) -> None:
    toy, n = TOYS[name], 20_000
    x = toy.sample(n, Rng.of(1, n), dtype=torch.float64)
    surprise = -torch.cat([toy.log_prob(rows) for rows in x.split(4096)])
    assert torch.isfinite(surprise).all()
    assert surprise.mean().item() == pytest.approx(toy.entropy, abs=5 * surprise.std().item() / math.sqrt(n) + 1e-9)


@every
def test_the_samples_fill_the_density_cell_by_cell(name: str) -> None:
    toy, n, cells = TOYS[name], 40_000, 12
    left, right, bottom, top = toy.box
    x = toy.sample(n, Rng.of(2, n), dtype=torch.float64)
    low, size = torch.tensor([left, bottom]), torch.tensor([right - left, top - bottom], dtype=torch.float64)
    cell = ((x - low) / size * cells).floor().clamp(0, cells - 1)
    counts = torch.bincount((cell[:, 0] * cells + cell[:, 1]).long(), minlength=cells**2)
    fine = 20
    axis = (torch.arange(cells * fine, dtype=torch.float64) + 0.5) / (cells * fine)
    grid = low + size * torch.cartesian_prod(axis, axis)
    density = torch.cat([toy.log_prob(rows).exp() for rows in grid.split(8192)]) * size.prod() / (cells * fine) ** 2
    expected = n * density.view(cells, fine, cells, fine).sum(dim=(1, 3)).reshape(-1)
    assert ((counts - expected).abs() <= 6 * expected.sqrt() + 6).all()


@every
def test_a_point_does_not_depend_on_its_batch(name: str) -> None:
    toy = TOYS[name]
    assert torch.equal(toy.sample(50, Rng.of(3, 50))[7:9], toy.sample(2, Rng.of(3, 2, start=7)))
