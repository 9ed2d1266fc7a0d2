"""The straight path: its velocity is its derivative, and conversions undo each other at any rank."""

from __future__ import annotations

import pytest
import torch

from headwater.models.diffusions import paths


@pytest.mark.parametrize("shape", [(3,), (2, 5), (1, 4, 6)])
def test_conversions_at_every_rank(shape: tuple[int, ...]) -> None:
    x0, x1 = torch.randn(2, 7, *shape, dtype=torch.float64)
    t = torch.rand(7, dtype=torch.float64) * 0.9 + 0.05
    x, v = paths.interpolate(x0, x1, t), paths.target(x0, x1)
    assert torch.allclose(paths.denoised_from_velocity(v, x, t), x1)
    assert torch.allclose(paths.noise_from_velocity(v, x, t), x0)
    assert torch.allclose(paths.velocity_from_denoised(x1, x, t), v)
    assert torch.allclose(paths.velocity_from_noise(x0, x, t), v)


def test_target_is_the_derivative_of_the_path() -> None:
    x0, x1 = torch.randn(2, 4, 3, dtype=torch.float64)
    t = torch.full((4,), 0.3, dtype=torch.float64)
    slope = (paths.interpolate(x0, x1, t + 1e-6) - paths.interpolate(x0, x1, t - 1e-6)) / 2e-6
    assert torch.allclose(slope, paths.target(x0, x1), atol=1e-8)


def test_ends_are_noise_and_data() -> None:
    x0, x1 = torch.randn(2, 4, 3)
    assert torch.equal(paths.interpolate(x0, x1, torch.zeros(4)), x0)
    assert torch.equal(paths.interpolate(x0, x1, torch.ones(4)), x1)
