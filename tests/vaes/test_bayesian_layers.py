"""Gaussian weights: the fast product equals the plain one, divergences are the closed form, outputs have their law."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from headwater.networks.bayesian import BayesianLinear, BayesianTensor, gaussian_kl
from headwater.networks.bayesian_product import bayesian_product, plain_bayesian_product
from headwater.rng import Rng
from headwater.training.precision import products


def _both_ways(product, x, mean, spread, **settings):
    out, variance, kl = product(x, mean, spread, **settings)
    g, h = (torch.randn(out.shape, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    total = (out * g).sum() + (variance * h).sum() + 0.3 * kl
    return out, variance, kl, *torch.autograd.grad(total, [x, mean, spread])


@pytest.mark.parametrize(("precision", "slack"), [("float32", 1e-5), ("reduced", 2e-2)])
@pytest.mark.parametrize("shape", [(5, 7, 3), (9, 700, 900)])
@pytest.mark.parametrize("divergence", [True, False])
def test_the_fast_product_is_the_plain_one(precision, slack, shape, divergence) -> None:
    rows, inputs, outputs = shape
    x = torch.randn(rows, inputs, requires_grad=True)
    mean = torch.randn(inputs, outputs, requires_grad=True)
    spread = (torch.randn(inputs, outputs) - 1).requires_grad_()
    settings = {"rate": 2.0, "scale": 0.7, "divergence": divergence}
    plain = _both_ways(plain_bayesian_product, x, mean, spread, **settings)
    with products(precision):
        fast = _both_ways(bayesian_product, x, mean, spread, **settings)
    for a, b in zip(plain, fast, strict=True):
        assert a.dtype == b.dtype
        assert (a - b).abs().max() <= slack * a.abs().max() + 1e-12


def test_the_fast_product_differentiates_by_what_is_asked_alone() -> None:
    x, mean, spread = torch.randn(4, 6), torch.randn(6, 5, requires_grad=True), torch.zeros(6, 5)
    out, _, _ = bayesian_product(x, mean, spread, rate=1.0, scale=1.0)
    out.sum().backward()
    torch.testing.assert_close(mean.grad, x.sum(dim=0)[:, None].expand(6, 5))


def test_divergences_are_the_closed_form() -> None:
    mean, log_variance, centre = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 4)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(centre, 1.7))
    torch.testing.assert_close(gaussian_kl(mean, log_variance, centre=centre, scale=1.7), expected)
    layer = BayesianLinear(6, 5, log_variance=-3.0, rate=4.0, scale=0.5)
    assert layer.spread is not None
    assert layer.bias is not None
    with torch.no_grad():
        layer.spread.add_(0.1 * torch.randn_like(layer.spread))
    _, kl = layer(torch.randn(2, 6), Rng.of(0, 2))
    matrix = kl_divergence(Normal(layer.mean, (layer.log_variance() / 2).exp()), Normal(0, 0.5)).sum()
    biases = kl_divergence(Normal(layer.bias.mean, torch.full((5,), -1.5).exp()), Normal(0, 0.5)).sum()
    torch.testing.assert_close(kl, matrix + biases)
    torch.testing.assert_close(layer.divergence(), matrix)


def test_outputs_have_the_law_of_drawn_weights() -> None:
    layer = BayesianLinear(4, 3, log_variance=-1.0)
    assert layer.bias is not None
    x, n = torch.randn(1, 4), 40_000
    with torch.no_grad():
        ours, _ = layer(x.expand(n, 4), Rng.of(0, n))
        weights = layer.mean + (layer.log_variance() / 2).exp() * torch.randn(n, 4, 3)
        drawn = torch.einsum("bi,nio->no", x, weights) + layer.bias.draw(Rng.of(1, n), "bias")
    assert (ours.mean(0) - drawn.mean(0)).abs().max() < 0.05
    torch.testing.assert_close(ours.T.cov(), drawn.T.cov(), atol=0.06, rtol=0.06)


def test_one_key_is_noise_that_all_rows_share() -> None:
    layer = BayesianLinear(4, 3, log_variance=-1.0)
    x = torch.randn(1, 4).expand(5, 4)
    shared, _ = layer(x, Rng.of(0, 1))
    own, _ = layer(x, Rng.of(0, 5))
    torch.testing.assert_close(shared, shared[:1].expand(5, 3))
    assert own.std(dim=0).min() > 0.1


def test_gradients_are_finite_where_no_input_is_active() -> None:
    layer = BayesianLinear(4, 3, bias=None)
    out, kl = layer(torch.zeros(2, 4), Rng.of(0, 2))
    (out.sum() + kl).backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters() if p.grad is not None)


def test_points_have_neither_noise_nor_divergence() -> None:
    layer, tensor = BayesianLinear(4, 3, log_variance=None), BayesianTensor(torch.randn(2), log_variance=None)
    x = torch.randn(2, 4)
    out, kl = layer(x, Rng.of(0, 2))
    assert float(kl) == float(tensor.divergence()) == 0
    torch.testing.assert_close(out, layer.typical(x))
    assert tensor.draw(Rng.of(0, 3), "w").shape == (1, 2)
    assert "point" in repr(layer)
    assert "point" in repr(tensor)


def test_the_rate_speeds_up_log_variances_alone() -> None:
    slow, fast = (BayesianLinear(3, 2, log_variance=-6.0, rate=rate) for rate in (1.0, 5.0))
    torch.testing.assert_close(slow.log_variance(), fast.log_variance())
    for layer in (slow, fast):
        optimizer = torch.optim.Adam(layer.parameters(), 0.01)
        layer(torch.ones(1, 3), Rng.of(0, 1))[1].backward()
        optimizer.step()
    moved = [float((layer.log_variance() + 6).detach().abs().max()) for layer in (slow, fast)]
    assert moved[1] == pytest.approx(5 * moved[0], rel=1e-2)
