"""Every increasing map: the identity at zero, finite and increasing on anything, back where it came from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from headwater.bijections.additive import Additive
from headwater.bijections.affine import Affine
from headwater.bijections.bernstein import Bernstein
from headwater.bijections.cubic_spline import CubicSpline
from headwater.bijections.deep_sigmoidal import DeepSigmoidal
from headwater.bijections.integrated import Integrated
from headwater.bijections.linear_spline import LinearSpline
from headwater.bijections.mixture_cdf import MixtureCDF
from headwater.bijections.quadratic_spline import QuadraticSpline
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.sum_of_squares import SumOfSquares
from headwater.bijections.univariate import Univariate

MAPS: dict[str, Callable[[], Univariate]] = {
    "additive": Additive,
    "affine": Affine,
    "linear spline": LinearSpline,
    "quadratic spline": QuadraticSpline,
    "cubic spline": CubicSpline,
    "rational-quadratic spline": RationalQuadratic,
    "mixture": MixtureCDF,
    "sigmoidal": lambda: DeepSigmoidal(1, 8),
    "deep sigmoidal": lambda: DeepSigmoidal(2, 6),
    "sum of squares": SumOfSquares,
    "Bernstein": Bernstein,
    "integrated": Integrated,
}
BOXED = {"linear spline", "quadratic spline", "cubic spline", "rational-quadratic spline", "Bernstein"}
every = pytest.mark.parametrize("name", MAPS)


def build(name: str, dtype: torch.dtype = torch.float64) -> Univariate:
    torch.manual_seed(0)
    map_ = MAPS[name]().to(dtype)
    with torch.no_grad():
        for parameter in map_.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return map_


def hard(n: int, dtype: torch.dtype) -> Tensor:
    """Ordinary numbers, both sides of the edges of a box of four, far out, and denormal."""
    x = 3 * torch.randn(n, dtype=dtype)
    edge = torch.tensor(4.0, dtype=dtype)
    around = [edge, -edge, torch.nextafter(edge, edge + 1), torch.nextafter(-edge, edge)]
    special = torch.stack([*around, edge * 0, edge * 2500, edge * -2500, edge * 0 + 1e-40])
    x[: len(special)] = special
    return x


@every
def test_zero_parameters_are_the_identity(name: str) -> None:
    map_, x = MAPS[name]().double(), torch.linspace(-6, 6, 201, dtype=torch.float64)
    y, ladj = map_(x, x.new_zeros(201, map_.size))
    torch.testing.assert_close(y, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ladj, torch.zeros_like(x), rtol=0, atol=1e-9)


@every
def test_training_starts_near_the_identity(name: str) -> None:
    map_, x = MAPS[name]().double(), torch.linspace(-3, 3, 201, dtype=torch.float64)
    y, _ = map_(x, map_.start().double().expand(201, -1))
    assert (y - x).abs().max() < 1.2
    assert torch.corrcoef(torch.stack([x, y]))[0, 1] > 0.98


@pytest.mark.parametrize(
    "map_", [MixtureCDF(4), DeepSigmoidal(2, 4), SumOfSquares(3, 2)], ids=lambda m: type(m).__name__
)
def test_parts_of_a_map_learn_different_things(map_: Univariate) -> None:
    theta = map_.start().double().expand(200, -1).clone().requires_grad_()
    y, ladj = map_(torch.randn(200, dtype=torch.float64), theta)
    (gradient,) = torch.autograd.grad((0.5 * y.square() - ladj).sum(), theta)
    summed = gradient.sum(0)
    found = torch.unique(summed[summed.abs() > 1e-9].round(decimals=6))
    assert len(found) > 0.6 * int((summed.abs() > 1e-9).sum())


@every
@pytest.mark.parametrize("scale", [1.0, 5.0, 20.0])
def test_nothing_is_ever_infinite_or_not_a_number(name: str, scale: float) -> None:
    map_, x = build(name, torch.float32), hard(5_000, torch.float32).requires_grad_()
    theta = (scale * torch.randn(5_000, map_.size)).requires_grad_()
    for direction in (map_.forward, map_.inverse):
        y, ladj = direction(x, theta)
        grads = torch.autograd.grad(ladj.sum() + torch.tanh(y).sum(), (x, theta))
        for tensor in (y, ladj, *grads):
            assert torch.isfinite(tensor).all(), direction


@every
def test_it_increases(name: str) -> None:
    map_, x = build(name), torch.linspace(-9, 9, 2000, dtype=torch.float64)
    x = x.expand(8, -1).clone().requires_grad_()
    theta = 2 * torch.randn(8, 1, map_.size, dtype=torch.float64)
    y, ladj = map_(x, theta.expand(8, 2000, -1))
    assert (y.diff(dim=1) > 0).all()
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(ladj.exp(), slope, rtol=1e-9, atol=1e-12)


@every
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_there_and_back(name: str, dtype: torch.dtype, tolerance: float) -> None:
    map_, y = build(name, dtype), (3 * torch.randn(2_000, dtype=dtype)).clamp(-8, 8)
    theta = torch.randn(2_000, map_.size, dtype=dtype)
    x, ladj = map_.inverse(y, theta)
    again, forward = map_(x, theta)
    assert x.dtype == ladj.dtype == dtype
    assert (again - y).abs().max() < tolerance
    assert (ladj + forward).abs().max() < (1e-6 if dtype == torch.float64 else 1e-2)


@pytest.mark.parametrize("name", sorted(BOXED))
def test_the_box_is_carried_onto_itself_and_the_rest_left_alone(name: str) -> None:
    map_, outside = build(name), torch.tensor([-1e4, -4.5, -4.0, 4.0, 4.5, 1e4], dtype=torch.float64)
    y, ladj = map_(outside, torch.randn(6, map_.size, dtype=torch.float64))
    assert torch.equal(y, outside)
    assert not ladj.any()
    inside = torch.linspace(-3.99, 3.99, 50, dtype=torch.float64)
    assert (map_(inside, torch.randn(50, map_.size, dtype=torch.float64))[0].abs() < 4).all()
