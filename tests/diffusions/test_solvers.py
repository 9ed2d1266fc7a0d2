"""Solvers against equations with known solutions: order of convergence by slope, tolerance, independence of rows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from headwater.distributions.solvers import FIXED, ORDERS, dopri5, expand
from headwater.errors import DivergenceError


def _curved(t: Tensor, x: Tensor) -> Tensor:
    """``dx/dt = x cos t``, solved by ``x0 exp(sin t)``: it depends on time and state."""
    return x * expand(t.cos(), x)


@pytest.mark.parametrize("name", FIXED)
def test_error_falls_with_the_stated_power_of_the_step(name: str) -> None:
    x = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    truth = x * math.exp(math.sin(2.0))
    errors = []
    for steps in (16, 32, 64):
        times = torch.linspace(0, 2, steps + 1, dtype=torch.float64)
        errors.append((FIXED[name](_curved, x, times) - truth).abs().max().item())
    for coarse, fine in ((0, 1), (1, 2)):
        assert math.log2(errors[coarse] / errors[fine]) == pytest.approx(ORDERS[name], abs=0.35)


@pytest.mark.parametrize("name", FIXED)
def test_a_grid_may_be_uneven_and_run_backwards(name: str) -> None:
    x = torch.ones(3, 1, dtype=torch.float64)
    there = torch.linspace(0, 1, 401, dtype=torch.float64) ** 2
    back = FIXED[name](_curved, FIXED[name](_curved, x, there), there.flip(0))
    assert torch.allclose(back, x, atol=5e-3)


def _rotation(t: Tensor, x: Tensor) -> Tensor:
    return 3 * torch.stack([-x[:, 1], x[:, 0]], dim=1)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("backwards", [False, True])
def test_adaptive_solves_a_linear_equation_within_its_tolerance(tolerance: float, backwards: bool) -> None:
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    angle = -3.0 if backwards else 3.0
    times = torch.tensor([1.0, 0.0] if backwards else [0.0, 1.0], dtype=torch.float64)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    error = (dopri5(_rotation, x, times, rtol=tolerance, atol=tolerance) - x @ turn.T).abs().max().item()
    assert error < 20 * tolerance
    assert error > 0  # a fixed answer that ignores the tolerance would pass above


def test_adaptive_takes_six_evaluations_a_step_and_fewer_steps_when_tolerances_are_loose() -> None:
    calls = 0

    def counted(t: Tensor, x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return _rotation(t, x)

    x, times = torch.ones(1, 2, dtype=torch.float64), torch.tensor([0.0, 1.0])
    counts = []
    for tolerance in (1e-3, 1e-9):
        calls = 0
        dopri5(counted, x, times, rtol=tolerance, atol=tolerance)
        assert (calls - 2) % 6 == 0  # two for the first step's length, then first-same-as-last
        counts.append(calls)
    assert counts[0] < counts[1] / 4


def test_rows_have_steps_and_verdicts_of_their_own() -> None:
    seen: list[Tensor] = []

    def stiff_by_row(t: Tensor, x: Tensor) -> Tensor:
        seen.append(t)
        return -x[:, 1:] * torch.tensor([1.0, 0.0]) * x + 0 * x

    def run(rows: Tensor) -> Tensor:
        return dopri5(stiff_by_row, rows, torch.tensor([0.0, 1.0]), rtol=1e-8, atol=1e-8)

    x = torch.tensor([[1.0, 0.5], [1.0, 30.0], [2.0, 5.0]], dtype=torch.float64)
    together = run(x)
    assert any((times != times[0]).any() for times in seen)
    for row in range(3):
        assert torch.allclose(together[row], run(x[row : row + 1])[0], rtol=1e-12, atol=1e-14)
    truth = torch.stack([x[:, 0] * torch.exp(-x[:, 1]), x[:, 1]], dim=1)
    assert torch.allclose(together, truth, atol=1e-6)


def test_adaptive_recovers_from_a_trial_step_that_leaves_the_domain() -> None:
    def root(t: Tensor, x: Tensor) -> Tensor:  # x = (1 + t / 2)^2 on x > 0, not a number elsewhere
        return torch.sqrt(x) - 1e6 * torch.relu(0.5 - x) ** 2

    out = dopri5(root, torch.ones(1, 1, dtype=torch.float64), torch.tensor([0.0, 2.0]))
    assert out.item() == pytest.approx(4.0, abs=1e-3)


def test_a_hopeless_equation_ends_with_an_error_that_says_what_to_do() -> None:
    with pytest.raises(DivergenceError, match="more than 50 steps for 1 of 2 events") as caught:
        dopri5(
            lambda t, x: x**2, torch.tensor([[0.1], [2.0]]), torch.tensor([0.0, 1.0]), max_steps=50
        )  # the second is infinite at t = 1/2
    assert "rk4" in caught.value.hint


def test_pictures_and_single_precision_pass_through() -> None:
    x = torch.randn(2, 3, 4, 5)
    out = dopri5(lambda t, y: -y, x, torch.tensor([0.0, 1.0]))
    assert out.dtype == torch.float32
    assert torch.allclose(out, x * math.exp(-1), atol=1e-4)


def test_no_rows_are_no_trouble() -> None:
    assert dopri5(_rotation, torch.zeros(0, 2), torch.tensor([0.0, 1.0])).shape == (0, 2)
