"""Gaussianization: tails in logarithms, a start from the data, exactness far out."""

from __future__ import annotations

import math

import pytest
import torch

from headwater.bijections.gaussianize import Gaussianize, Kernel
from headwater.bijections.normal_tails import logistic_tails, ndtri_exp, normal_tails
from headwater.distributions.toys import TOYS
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.gaussianization import GaussianizationFlow
from headwater.rng import Rng

kernels = pytest.mark.parametrize("kernel", ["normal", "logistic"])


def test_normal_tails_are_those_of_the_normal_distribution() -> None:
    u = torch.cat([torch.linspace(-40, 40, 801, dtype=torch.float64), torch.tensor([-1e6, 1e6, -0.0, 1e-300]).double()])
    tails = normal_tails(u)
    torch.testing.assert_close(tails.below, torch.special.log_ndtr(u), rtol=1e-12, atol=1e-300)
    torch.testing.assert_close(tails.above, torch.special.log_ndtr(-u), rtol=1e-12, atol=1e-300)
    body = u.abs() < 6  # where the difference of logarithms is accurate
    log_density = torch.distributions.Normal(0.0, 1.0).log_prob(u)
    torch.testing.assert_close(tails.hazard_below[body], (log_density - tails.below)[body], rtol=0, atol=1e-12)
    torch.testing.assert_close(tails.hazard_above[body], (log_density - tails.above)[body], rtol=0, atol=1e-12)
    far = u < -1e5
    torch.testing.assert_close(tails.hazard_below[far], (-u[far]).log())  # h(u) -> -u


def test_the_derivatives_of_the_tails_are_right_at_zero_too() -> None:
    u = torch.linspace(-9, 9, 25, dtype=torch.float64, requires_grad=True)
    assert 0.0 in u.tolist()
    assert torch.autograd.gradcheck(normal_tails, u)
    assert torch.autograd.gradcheck(logistic_tails, u)
    y = torch.linspace(-60, 0, 31, dtype=torch.float64)
    log_p = normal_tails(y).below.requires_grad_()
    (slope,) = torch.autograd.grad(ndtri_exp(log_p).sum(), log_p)
    torch.testing.assert_close(slope, torch.exp(-normal_tails(y).hazard_below))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_the_quantile_of_a_logarithm_is_exact_where_the_probability_underflows(
    dtype: torch.dtype, tolerance: float
) -> None:
    y = -torch.logspace(-2, 6, 400, dtype=dtype)
    back = ndtri_exp(normal_tails(y).below)
    assert ((back - y).abs() / (1 + y.abs())).max() < tolerance


@kernels
def test_points_a_thousand_scales_out_have_the_right_determinant_in_single_precision(kernel: Kernel) -> None:
    layer = Gaussianize(3, 8, kernel=kernel)
    layer.fit(torch.randn(1000, 3))
    x = torch.tensor([[1e3, -1e3, 0.0], [-1e3, 1e3, 1e5], [0.1, -30.0, 30.0]], requires_grad=True)
    z, ladj = layer(x)
    gradients = torch.autograd.grad(z.sum() + ladj.sum(), [x, *layer.parameters()])
    exact, exact_ladj = layer.double()(x.double())
    assert all(torch.isfinite(part).all() for part in (z, ladj, *gradients))
    torch.testing.assert_close(z.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ladj.double(), exact_ladj, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(layer.inverse(exact)[0], x.double(), rtol=1e-9, atol=1e-9)


def test_one_normal_kernel_is_an_affine_map() -> None:
    layer = Gaussianize(2, 1).double()
    layer.fit(3 + 2 * torch.randn(10_001, 2, dtype=torch.float64))
    x = torch.linspace(-300, 300, 61, dtype=torch.float64)[:, None].expand(-1, 2)
    z, ladj = layer(x)
    slope = z.diff(dim=0) / x.diff(dim=0)
    torch.testing.assert_close(slope, slope[:1].expand_as(slope))
    torch.testing.assert_close(ladj, slope[0].log().sum().expand(61))


@kernels
def test_data_leaves_the_layer_normal_once_fitted(kernel: Kernel) -> None:
    layer = Gaussianize(2, 24, kernel=kernel).double()
    rng = Rng.of(0, 4000)
    two = rng.bernoulli("side", torch.full((4000, 2), 0.3, dtype=torch.float64))
    x = torch.where(two > 0, 4.0, -1.0) + rng.normal("x", 2, dtype=torch.float64) * torch.tensor([0.3, 1.0])
    layer.fit(x)
    with torch.no_grad():
        z = layer(x)[0].sort(dim=0).values
    levels = torch.special.ndtr(z)
    gap = (levels - (torch.arange(4000)[:, None] + 0.5) / 4000).abs().max()
    assert gap < 0.08, f"distance from normal {gap:.3f}"


def test_a_constant_column_does_no_harm() -> None:
    layer = Gaussianize(2, 8)
    x = torch.randn(100, 2)
    x[:, 1] = 7.0
    layer.fit(x)
    z, ladj = layer(x)
    assert torch.isfinite(z).all()
    assert torch.isfinite(ladj).all()


def test_the_flow_is_useful_before_its_first_step() -> None:
    toy, n = TOYS["eight-gaussians"], 2000
    x = toy.sample(n, Rng.of(0, n))
    torch.manual_seed(0)
    model = GaussianizationFlow(GaussianizationFlow.Config(transforms=8), EventSpec.real(2), ContextSpec())
    model.initialize(Batch(x), Rng.of(0, n))
    fresh = toy.sample(n, Rng.of(1, n))
    normal = torch.distributions.Normal(x.mean(0), x.std(0))
    with torch.no_grad():
        gap = (toy.log_prob(fresh) - model.log_prob(fresh).value).mean().item()
    floor = (toy.log_prob(fresh) - normal.log_prob(fresh).sum(1)).mean().item()
    assert math.isfinite(gap)
    assert gap < 0.5 * floor, f"{gap:.3f} nats above the entropy, a normal distribution {floor:.3f}"
