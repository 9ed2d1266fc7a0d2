"""The spline against autodiff, the paper's own formula, and a million hostile inputs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from headwater.bijections.rational_quadratic import (
    RationalQuadratic,
    rational_quadratic,
    rational_quadratic_inverse,
)
from headwater.bijections.spline_kernels import spline, spline_inverse

BINS, BOUND = 8, 4.0
EDGES = [0.0, 1e-40, -1e-40, 1e-38, 1e4, -1e4, BOUND, -BOUND, BOUND * (1 - 6e-8), -BOUND * (1 - 6e-8), 3e38, -3e38]


def hostile(n: int, scale: float, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
    x = BOUND * torch.randn(n, dtype=dtype) / 2
    x[: len(EDGES)] = torch.tensor(EDGES, dtype=dtype)
    return x, [scale * torch.randn(n, size, dtype=dtype) for size in (BINS, BINS, BINS - 1)]


def runs(x: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """What a flow calls, with the arguments of the plain spline."""
    return spline(x, torch.cat([widths, heights, slopes], dim=-1).movedim(-1, 0), BINS, bound)


def runs_back(y: Tensor, widths: Tensor, heights: Tensor, slopes: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Its inverse."""
    return spline_inverse(y, torch.cat([widths, heights, slopes], dim=-1).movedim(-1, 0), BINS, bound)


PAIRS = {"plain": (rational_quadratic, rational_quadratic_inverse), "runs": (runs, runs_back)}


@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0, 1e4, 1e30])
@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize(("pair", "n"), [("plain", 20_000), ("runs", 100_000)])
def test_nothing_is_ever_infinite_or_not_a_number(pair: str, n: int, direction: int, scale: float) -> None:
    x, parameters = hostile(n, scale)
    inputs = [x.requires_grad_(), *(p.requires_grad_() for p in parameters)]
    y, ladj = PAIRS[pair][direction](*inputs, BOUND)
    for value in (y, ladj, *torch.autograd.grad((y / 1e4).sum() + ladj.sum(), inputs)):
        assert torch.isfinite(value).all()


@pytest.mark.parametrize("scale", [1.0, 5.0, 20.0])
@pytest.mark.parametrize(("pair", "n"), [("plain", 20_000), ("runs", 350_000)])
def test_float32_round_trip_at_large_parameters(pair: str, n: int, scale: float) -> None:
    forward, inverse = PAIRS[pair]
    y, parameters = hostile(n, scale)
    x, ladj = inverse(y, *parameters, BOUND)
    back, ladj_back = forward(x, *parameters, BOUND)
    assert ((back - y).abs() <= 1e-4).all()
    # the other way, what was lost is what a steep inverse makes of one rounding of y
    there, slope = forward(y, *parameters, BOUND)
    again, _ = inverse(there, *parameters, BOUND)
    assert ((again - y).abs() * slope.exp().clamp(max=1) <= 1e-5).all()
    assert ((ladj + ladj_back).abs() < 0.02).all()


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_float64_round_trip_and_log_derivative(scale: float) -> None:
    x, parameters = hostile(20_000, scale, torch.float64)
    y, ladj = rational_quadratic(x.requires_grad_(), *parameters, BOUND)
    back, _ = rational_quadratic_inverse(y, *parameters, BOUND)
    assert y.dtype == ladj.dtype == torch.float64
    assert ((back - x).abs() * ladj.exp().clamp(max=1) <= 1e-9).all()
    (slope,) = torch.autograd.grad(y.sum(), x, retain_graph=True)
    inside = (x.abs() < BOUND).nonzero()[:, 0]
    torch.testing.assert_close(slope.log()[inside], ladj[inside], rtol=1e-7, atol=1e-7)
    assert (slope > 0).all()


def test_the_papers_formula_in_a_known_bin() -> None:
    """Durkan et al., equations 4 and 5, for three bins written out by hand."""
    shares = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    tall = torch.tensor([0.4, 0.2, 0.4], dtype=torch.float64)
    inner = torch.tensor([2.0, 0.5], dtype=torch.float64)
    least = 5e-3

    def logits(p: Tensor) -> Tensor:
        return ((p - least) / (1 - 3 * least)).log()

    raw = inner.log() / (1 - inner.log().abs() / torch.tensor(100.0).log())
    x0, y0, w, h, d0, d1 = -0.6, -0.2, 1.0, 0.4, 2.0, 0.5
    xi = torch.linspace(0, 0.999, 17, dtype=torch.float64)
    s = h / w
    denominator = s + (d1 + d0 - 2 * s) * xi * (1 - xi)
    expected = y0 + h * (s * xi**2 + d0 * xi * (1 - xi)) / denominator
    slope = s**2 * (d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2) / denominator**2
    y, ladj = rational_quadratic(
        x0 + w * xi, *(v.expand(17, -1) for v in (logits(shares), logits(tall), raw)), bound=1.0
    )
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(ladj, slope.log())


def test_it_is_continuous_and_increasing_across_knots_and_into_the_tails() -> None:
    _, parameters = hostile(len(EDGES), 2.0, torch.float64)
    x = torch.linspace(-1.2 * BOUND, 1.2 * BOUND, 200_001, dtype=torch.float64)
    y, ladj = rational_quadratic(x, *(p[0].expand(len(x), -1) for p in parameters), BOUND)
    steps = y.diff()
    assert (steps > 0).all()
    assert (steps <= 1.001 * x.diff() * ladj.exp().max()).all()
    outside = x.abs() >= BOUND
    assert torch.equal(y[outside], x[outside])


def test_zero_parameters_are_the_identity() -> None:
    map_ = RationalQuadratic(5, 3.0)
    x = torch.randn(100, 2)
    y, ladj = map_(x, torch.zeros(100, 2, map_.size))
    torch.testing.assert_close(y, x, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ladj, torch.zeros_like(x), rtol=0, atol=2e-6)


def test_bfloat16_parameters_do_not_lower_the_precision_of_the_data() -> None:
    map_ = RationalQuadratic(8)
    x, parameters = torch.randn(50, 2), torch.randn(50, 2, map_.size).bfloat16()
    y, ladj = map_(x, parameters)
    assert y.dtype == ladj.dtype == torch.float32
    torch.testing.assert_close(map_.inverse(y, parameters)[0], x, rtol=1e-4, atol=1e-3)
