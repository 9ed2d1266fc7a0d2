"""Bounds against closed forms, autodiff and torch.distributions."""

from __future__ import annotations

import math

import torch
from torch.distributions import Normal, kl_divergence

from headwater.distributions.bounds import importance_weighted_bound
from headwater.models.vaes.bounds import free_bits, gaussian_kl
from headwater.models.vaes.priors import GaussianPrior, MixturePrior
from headwater.rng import Rng


def test_the_divergence_of_gaussians_is_torchs() -> None:
    m, s, m0, s0 = torch.randn(4, 50, dtype=torch.float64)
    theirs = kl_divergence(Normal(m, s.exp()), Normal(m0, s0.exp()))
    torch.testing.assert_close(gaussian_kl(m, s, m0, s0), theirs)
    torch.testing.assert_close(gaussian_kl(m, s, m, s), torch.zeros(50, dtype=torch.float64))


def test_free_bits_pay_nothing_below_the_floor() -> None:
    means = torch.tensor([[0.1, 2.0], [0.2, 1.0]], requires_grad=True)
    zero = torch.zeros(1)
    kl = gaussian_kl(means, torch.zeros_like(means), zero, zero)
    free_bits(kl, 0.5).backward()
    assert means.grad is not None
    assert torch.equal(means.grad[:, 0], torch.zeros(2))
    torch.testing.assert_close(means.grad[:, 1], means.detach()[:, 1] / 2)


def test_free_bits_look_at_the_mean_over_the_batch() -> None:
    kl = torch.tensor([[0.0], [1.0]])
    assert float(free_bits(kl, 0.4)) == 0.5
    assert float(free_bits(kl, 0.6)) == torch.tensor(0.6)


def test_the_bound_is_the_log_mean_and_never_overflows() -> None:
    log_weights = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    bound, stderr = importance_weighted_bound(log_weights)
    weights = log_weights.exp()
    torch.testing.assert_close(bound, weights.mean(1).log())
    torch.testing.assert_close(stderr, weights.std(1) / math.sqrt(3) / weights.mean(1))
    shifted, same = importance_weighted_bound(log_weights - 1e4)
    torch.testing.assert_close(shifted, bound - 1e4)
    torch.testing.assert_close(same, stderr)


def test_the_bound_of_all_draws_is_above_the_mean_of_the_bounds_of_its_parts() -> None:
    log_weights = 3 * torch.randn(20, 64, dtype=torch.float64)
    whole, _ = importance_weighted_bound(log_weights)
    for size in (1, 4, 16):
        parts = [importance_weighted_bound(part)[0] for part in log_weights.split(size, dim=1)]
        below = torch.stack(parts).mean(0)
        assert (below < whole).all()


def test_priors_sample_what_they_score() -> None:
    context = torch.eye(2).repeat_interleave(2000, 0)
    for prior in (GaussianPrior(1, 2), MixturePrior(1, 2, 3)):
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.copy_(0.7 * torch.randn_like(parameter))
        z = prior.sample(4000, context, Rng.of(0, 4000)).detach()
        grid = torch.linspace(-9, 9, 4001)[:, None]
        for label in range(2):
            density = prior.log_prob(grid, context[2000 * label][None].expand(len(grid), -1)).detach().exp()
            assert abs(float(torch.trapezoid(density, grid[:, 0])) - 1) < 1e-3
            mean = float(torch.trapezoid(density * grid[:, 0], grid[:, 0]))
            drawn = z[2000 * label : 2000 * (label + 1), 0]
            assert abs(float(drawn.mean()) - mean) < 4 * float(drawn.std()) / math.sqrt(2000)


def test_the_mixture_prior_estimates_its_divergence_without_bias() -> None:
    prior = MixturePrior(2, 0, 1)
    mean, log_scale = torch.tensor([[0.3, -0.4]]).expand(20_000, -1), torch.full((20_000, 2), -0.5)
    z = mean + log_scale.exp() * Rng.of(0, 20_000).normal("z", 2)
    with torch.no_grad():
        estimate = prior.kl(mean, log_scale, z, None)[:, 0]
        exact = gaussian_kl(mean[0], log_scale[0], prior.means[0], prior.log_scales[0]).sum()
    assert abs(float(estimate.mean() - exact)) < 4 * float(estimate.std()) / math.sqrt(20_000)
