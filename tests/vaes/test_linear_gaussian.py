"""On a linear-Gaussian model all is known: the likelihood, the posterior, the gap of the bound."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.vaes.vae import VAE, VAEConfig
from headwater.rng import Rng

NOISE = 0.5
# orthogonal columns: the exact posterior has independent dimensions
W = torch.tensor([[1.0, 1.0], [1.0, -1.0], [0.5, 0.5], [-0.5, 0.5]], dtype=torch.float64)


def _inverse_clamp(log_scale: float, bound: float) -> float:
    return bound * math.atanh(log_scale / bound)


class _Posterior(nn.Module):
    """The exact posterior ``N(P W^T x / s^2, P)``, ``P = (1 + W^T W / s^2)^-1``, its scale stretched by a factor."""

    def __init__(self, stretch: float) -> None:
        super().__init__()
        precision = 1 + W.square().sum(0) / NOISE**2
        self.map = W / NOISE**2 / precision
        self.log_scale = torch.tensor(
            [_inverse_clamp(math.log(stretch) - 0.5 * math.log(p), 5.0) for p in precision], dtype=torch.float64
        )

    def forward(self, features: Tensor, c: Tensor | None) -> Tensor:
        x = 3.0 * torch.sinh(features / 3.0)  # undo the soft clip of real features
        return torch.cat([x @ self.map, self.log_scale.to(x).expand(len(x), 2)], dim=1)


class _Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(W.clone())

    def forward(self, z: Tensor, c: Tensor | None) -> Tensor:
        mean = z @ self.weight.T
        raw = torch.full_like(mean, _inverse_clamp(math.log(NOISE), 7.0))
        return torch.stack([mean, raw], dim=-1).flatten(1)


def _model(stretch: float) -> tuple[VAE, MultivariateNormal]:
    model = VAE(VAEConfig(latent=2, width=8, real="gaussian"), EventSpec.real(4), ContextSpec()).double()
    model.encoder, model.decoder = _Posterior(stretch), _Linear()  # type: ignore[assignment]
    covariance = W @ W.T + NOISE**2 * torch.eye(4, dtype=torch.float64)
    return model, MultivariateNormal(torch.zeros(4, dtype=torch.float64), covariance)


@pytest.mark.parametrize("draws", [1, 7])
def test_with_the_exact_posterior_every_draw_gives_the_exact_likelihood(draws: int) -> None:
    model, truth = _model(1.0)
    x = truth.sample((20,))
    score = model.log_prob(x, rng=Rng.of(0, 20), draws=draws)
    torch.testing.assert_close(score.value, truth.log_prob(x), atol=1e-9, rtol=0)
    assert score.kind == "lower bound"
    assert score.stderr is not None
    assert float(score.stderr.max()) < 1e-9


def test_the_bound_rises_with_the_draws_towards_the_truth() -> None:
    model, truth = _model(1.8)
    x = truth.sample((400,))
    elbo = -model.loss(Batch(x, None, torch.ones(())), "vae", Rng.of(1, 400)).terms["nelbo"].detach()
    bounds = [float(model.log_prob(x, rng=Rng.of(2, 400), draws=k).value.mean()) for k in (1, 4, 16, 64, 1024)]
    exact = float(truth.log_prob(x).mean())
    assert bounds == sorted(bounds)
    assert float(elbo) == pytest.approx(bounds[0], abs=0.5)
    assert bounds[0] < exact - 0.3
    assert bounds[-1] == pytest.approx(exact, abs=0.02)


def test_the_standard_error_is_that_of_repeated_scores() -> None:
    model, truth = _model(1.5)
    x = truth.sample((1,)).expand(500, -1)
    score = model.log_prob(x, rng=Rng.of(3, 500), draws=256)
    assert score.stderr is not None
    assert float(score.stderr.mean()) == pytest.approx(float(score.value.std()), rel=0.25)


def test_the_samples_have_the_models_covariance() -> None:
    model, truth = _model(1.0)
    x = model.sample(20_000, rng=Rng.of(4, 20_000))
    torch.testing.assert_close(torch.cov(x.T), truth.covariance_matrix, atol=0.12, rtol=0)
