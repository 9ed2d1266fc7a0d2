"""Fitting a flow to a density: analytic evidence and moments, and the gradient that vanishes at the optimum."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from headwater.distributions.importance import ImportanceWeights
from headwater.errors import DataError, DivergenceError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.realnvp import RealNVP, RealNVPConfig
from headwater.rng import Rng
from headwater.training.reverse_kl import ReverseKL, fit_to_density, weigh


def flow(features: int, transforms: int = 4) -> RealNVP:
    torch.manual_seed(0)
    config = RealNVPConfig(transforms=transforms, width=32, blocks=1, activation="silu")
    return RealNVP(config, EventSpec.real(features), ContextSpec())


def banana(x: Tensor) -> Tensor:
    """Evidence ``2 pi e^3 / 2``, ``E x_1 = 1``."""
    return 3.0 - 0.5 * x[:, 0].square() - 0.5 * (x[:, 1] - x[:, 0].square()).square() / 0.25


def test_a_banana_is_covered_and_its_evidence_found() -> None:
    model = flow(2, transforms=6)
    losses = fit_to_density(model, banana, steps=600)
    found = weigh(model, banana, 20_000, seed=5)
    truth = math.log(2 * math.pi * 0.5) + 3
    assert found.effective_share > 0.8
    assert abs(found.log_evidence - truth) < 4 * found.log_evidence_stderr
    assert found.log_evidence_stderr < 0.01
    assert -losses[-1] < truth + 0.2  # the loss is an upper bound on -log Z
    assert found.mean(found.samples)[1].item() == pytest.approx(1.0, abs=0.05)


def test_a_posterior_of_ten_weights_is_the_analytic_one() -> None:
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(40, 10, generator=generator)
    y = inputs @ torch.linspace(-2, 2, 10) + 0.5 * torch.randn(40, generator=generator)

    def log_joint(w: Tensor) -> Tensor:
        noise = torch.distributions.Normal(0.0, 0.5)
        return noise.log_prob(y - w @ inputs.T).sum(1) + torch.distributions.Normal(0.0, 1.0).log_prob(w).sum(1)

    covariance = torch.eye(40) * 0.25 + inputs @ inputs.T
    evidence = torch.distributions.MultivariateNormal(torch.zeros(40), covariance).log_prob(y).item()
    mean = torch.linalg.solve(inputs.T @ inputs / 0.25 + torch.eye(10), inputs.T @ y / 0.25)
    model = flow(10)
    fit_to_density(model, log_joint, steps=1200)
    found = weigh(model, log_joint, 20_000, seed=5)
    assert found.effective_share > 0.8
    assert found.log_evidence == pytest.approx(evidence, abs=max(0.02, 4 * found.log_evidence_stderr))
    torch.testing.assert_close(found.mean(found.samples), mean, atol=0.02, rtol=0)


@pytest.mark.parametrize("path", [True, False])
def test_the_path_gradient_vanishes_where_the_flow_is_right(path: bool) -> None:
    model = flow(3).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    loss = ReverseKL(model, lambda x: -0.5 * x.square().sum(1), path_gradient=path)
    loss(Batch(torch.zeros(64, 3, dtype=torch.float64)), "model", Rng.of(0, 64)).total.backward()  # type: ignore[no-untyped-call]
    largest = max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None)
    assert (largest < 1e-12) == path


def test_a_density_that_is_not_a_number_ends_the_fit() -> None:
    with pytest.raises(DivergenceError, match="21 steps in a row"):
        fit_to_density(flow(2), lambda x: x.sum(1) * math.nan, steps=100, batch_size=8)
    with pytest.raises(DataError, match="1 of 2 importance weights are not numbers"):
        ImportanceWeights(torch.zeros(2, 1), torch.tensor([0.0, math.nan]))
    with pytest.raises(DataError, match="2 are zero"):
        ImportanceWeights(torch.zeros(2, 1), torch.full((2,), -math.inf))


def test_importance_weights_by_hand() -> None:
    found = ImportanceWeights(torch.tensor([[0.0], [1.0]]), torch.tensor([3.0, 1.0]).log())
    assert found.log_evidence == pytest.approx(math.log(2))
    assert found.effective_share == pytest.approx(16 / 10 / 2)
    assert found.mean(found.samples).item() == pytest.approx(0.25)
