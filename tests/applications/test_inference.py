"""Amortized posteriors against analytic ones, and a calibration that passes and fails where it should."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from headwater.applications.inference import (
    Posterior,
    Simulations,
    calibrate,
    fit_posterior,
    simulate,
    write_calibration,
)
from headwater.applications.inference.embedding import Observation
from headwater.applications.inference.support import Support
from headwater.errors import ConfigError, DataError, UsageError
from headwater.rng import Rng
from headwater.settings import OptimizerSettings

MIXING = torch.tensor([[1.0, 0.5], [0.0, 1.0], [-1.0, 0.3]])
NOISE = 0.5


def prior(rng: Rng) -> Tensor:
    return rng.normal("θ", 2)


def linear(theta: Tensor, rng: Rng) -> Tensor:
    return theta @ MIXING.T + NOISE * rng.normal("x", 3)


def analytic(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the linear-Gaussian posterior."""
    covariance = torch.linalg.inv(torch.eye(2) + MIXING.T @ MIXING / NOISE**2)
    return x @ MIXING @ covariance / NOISE**2, covariance


class Analytic:
    """The true posterior with its standard deviations times a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def sample(self, observation: Tensor, n: int, *, seed: int = 0) -> Tensor:
        mean, covariance = analytic(observation)
        noise = Rng.of(seed, len(observation)).normal("draws", n, 2)
        return mean[:, None] + self.factor * noise @ torch.linalg.cholesky(covariance).T


@pytest.fixture(scope="module")
def fitted() -> Posterior:
    pairs = simulate(prior, linear, 6_000, seed=1)
    settings = {"transforms": 2, "width": 32, "blocks": 1, "activation": "silu"}
    optimizer = OptimizerSettings(lr=5e-3)
    return fit_posterior(pairs, "maf", steps=400, batch_size=128, optimizer=optimizer, **settings)


def test_it_is_the_analytic_posterior_for_any_observation(fitted: Posterior) -> None:
    x = simulate(prior, linear, 20, seed=2).observations
    mean, covariance = analytic(x)
    draws = fitted.sample(x, 2_000)
    assert draws.shape == (20, 2_000, 2)
    spread = covariance.diagonal().sqrt()
    assert float(((draws.mean(1) - mean) / spread).abs().mean()) < 0.12
    found = torch.stack([torch.cov(own.T) for own in draws])
    assert float(((found - covariance) / (spread[:, None] * spread)).abs().mean()) < 0.12
    truth = torch.distributions.MultivariateNormal(mean, covariance)
    gap = truth.log_prob(draws.transpose(0, 1)) - fitted.log_prob(draws.transpose(0, 1), x)
    assert -0.005 < -float(gap.mean()) < 0.04  # the divergence from the truth, in nats


def test_a_draw_depends_on_its_seed_its_number_and_its_observation_alone(fitted: Posterior) -> None:
    x = simulate(prior, linear, 3, seed=2).observations
    assert fitted.sample(x[0], 5).shape == (5, 2)
    torch.testing.assert_close(fitted.sample(x, 7)[0, :5], fitted.sample(x[0], 5), atol=1e-6, rtol=0)
    assert fitted.distribution(x).rsample((4,)).shape == (4, 3, 2)
    with pytest.raises(UsageError, match=r"Expected observations of shape \(..., 3\), got \(4,\)"):
        fitted.sample(torch.zeros(4), 5)


def test_calibration_passes_for_it_and_for_the_truth(fitted: Posterior, tmp_path: Path) -> None:
    fresh = simulate(prior, linear, 400, seed=3)
    for posterior in (fitted, Analytic(1.0)):
        found = calibrate(posterior, fresh, draws=63)
        assert found.complaints == ()
        assert "no miscalibration" in str(found)
        levels = torch.tensor([0.5, 0.9])
        assert float((found.coverage(levels) - levels[:, None]).abs().max()) < 0.1
    drawn = write_calibration(calibrate(fitted, fresh, draws=31), tmp_path / "ranks.svg")
    root = ElementTree.fromstring(drawn.read_text())
    assert len([node for node in root.iter() if node.get("role") == "img"]) == 4  # two parameters, density, coverage


@pytest.mark.parametrize(("factor", "complaint"), [(0.7, "too narrow"), (1.5, "too wide")])
def test_calibration_fails_for_posteriors_of_the_wrong_width(factor: float, complaint: str) -> None:
    found = calibrate(Analytic(factor), simulate(prior, linear, 300, seed=3), draws=63, names=("a", "b"))
    assert found.complaints == (f"a: {complaint}", f"b: {complaint}")
    assert found.verdict.startswith("warning: not calibrated")
    covered = found.coverage(torch.tensor([0.5]))
    assert bool(((covered < 0.5) == (complaint == "too narrow")).all())


def test_calibration_fails_for_a_posterior_that_is_shifted() -> None:
    class Shifted(Analytic):
        def sample(self, observation: Tensor, n: int, *, seed: int = 0) -> Tensor:
            return super().sample(observation, n, seed=seed) + 0.15

    found = calibrate(Shifted(1.0), simulate(prior, linear, 300, seed=3), draws=63)
    assert {test.complaint for test in found.tests} == {"shifted"}
    with pytest.raises(UsageError, match="at least 40 simulations"):
        calibrate(Analytic(1.0), simulate(prior, linear, 10), draws=63)


class Mean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean(1))


@pytest.mark.parametrize("embedding", ["none", "mlp", "deepset", "series", "own"])
def test_every_embedding_learns_and_is_repeatable(embedding: str) -> None:
    def members(theta: Tensor, rng: Rng) -> Tensor:
        return theta[:, :1, None] + theta[:, 1:, None].exp() * rng.normal("x", 12, 1)

    pairs = simulate(prior, members, 600)

    def once() -> Posterior:
        torch.manual_seed(5)
        chosen = Mean() if embedding == "own" else embedding
        settings = {"transforms": 1, "width": 16, "blocks": 1}
        return fit_posterior(pairs, "realnvp", embedding=chosen, embedded=4, steps=60, batch_size=128, **settings)

    first, second = once(), once()
    assert first.history[-1][1] < first.history[0][1]
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    x = pairs.observations[:2]
    if embedding == "deepset":
        torch.testing.assert_close(first.sample(x.flip(1), 3), first.sample(x, 3), atol=1e-4, rtol=0)


def test_bounds_are_kept_and_the_density_is_one_in_the_parameters_units() -> None:
    support = Support([0.0, -1.0, -math.inf, -math.inf], [math.inf, 2.0, 3.0, math.inf])
    theta = torch.tensor([[0.5, 1.5, 2.0, 7.0], [3.0, -0.5, -4.0, 1.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    support.fit(theta)
    u = support.to_real(theta)
    torch.testing.assert_close(u.mean(0), torch.zeros(4, dtype=torch.float64))
    back, ladj = support.from_real(u)
    torch.testing.assert_close(back, theta)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda v: support.from_real(v)[0], u[i])
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], ladj[i])
    assert support.inside(torch.tensor([1.0, 2.5, 0.0, 0.0])).item() is False
    with pytest.raises(DataError, match="1 of 1 rows of parameters are on or beyond"):
        support.fit(torch.tensor([[-1.0, 0.0, 0.0, 0.0]]))

    pairs = simulate(lambda rng: rng.uniform("p", 1), lambda p, rng: rng.bernoulli("x", p.expand(-1, 10)), 1_000)
    settings = {"transforms": 1, "width": 16, "blocks": 1}
    found = fit_posterior(pairs, "realnvp", low=[0.0], high=[1.0], steps=30, embedding="none", **settings)
    grid = torch.linspace(-0.0995, 1.0995, 1200)[:, None]
    density = found.log_prob(grid, pairs.observations[0]).exp()
    assert float(density.sum() * 0.001) == pytest.approx(1.0, abs=2e-3)
    assert (density[:100] == 0).all()


def test_what_does_not_fit_is_said() -> None:
    pairs = simulate(prior, linear, 200)
    with pytest.raises(UsageError, match="'vae' is none"):
        fit_posterior(pairs, "vae")
    with pytest.raises(UsageError, match="no embedding 'deepsets'"):
        fit_posterior(pairs, embedding="deepsets")
    with pytest.raises(UsageError, match=r"must give \(n, size\)"):
        fit_posterior(pairs, embedding=nn.Flatten(0))
    with pytest.raises(UsageError, match=r"reads observations \(m,\)"):
        Observation((2, 3, 4), "series")
    with pytest.raises(ConfigError, match="transform"):
        fit_posterior(pairs, transform=3)
    broken = Simulations(pairs.parameters, pairs.observations.log())
    with pytest.raises(DataError, match="simulations hold NaN or infinity"):
        fit_posterior(broken)
    assert broken.chosen(broken.finite).finite.all()
    with pytest.raises(DataError, match="asked for 50 rows of floats"):
        simulate(prior, lambda theta, rng: theta[:10], 50)
    with pytest.raises(DataError, match="got 3 for 200"):
        Simulations(pairs.parameters, pairs.observations[:3])
    with pytest.raises(DataError, match="leave 0 to hold out"):
        fit_posterior(pairs.chosen(torch.arange(4)))
    with pytest.raises(DataError, match="Expected 2 names, got 1"):
        fit_posterior(pairs, names=["a"])
