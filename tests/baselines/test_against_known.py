"""Baselines against answers known otherwise: closed forms, scikit-learn's own scores, enumeration, quadrature."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture as Solver
from sklearn.neighbors import KernelDensity as SolverKDE
from torch import Tensor

from headwater.errors import ConfigError, UnsupportedEventError, UsageError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.baselines.counts import CountTables
from headwater.models.baselines.gaussian_mixture import GaussianMixture, GaussianMixtureConfig
from headwater.models.baselines.held_out import choice_rows
from headwater.models.baselines.independent import Independent, IndependentConfig
from headwater.models.baselines.kernel_density import KernelDensity, KernelDensityConfig
from headwater.models.baselines.mixture import log_components
from headwater.models.baselines.mixture_fit import Shrinkage, fit_classes, shrink
from headwater.rng import Rng

PLAIN = ContextSpec()


def blobs(n: int, seed: int = 0) -> Tensor:
    """Three correlated groups in three dimensions."""
    rng = Rng.of(seed, n)
    centre = torch.tensor([[0.0, 0.0, 0.0], [6.0, 2.0, -1.0], [-5.0, 5.0, 3.0]], dtype=torch.float64)
    z = rng.normal("z", 3, dtype=torch.float64)
    mix = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [0.0, 0.3, 0.4]], dtype=torch.float64)
    return centre[torch.arange(n) % 3] + z @ mix.T


@pytest.mark.parametrize("kind", ["full", "tied", "diagonal"])
def test_mixture_without_shrinkage_is_scikit_learns(kind: str) -> None:
    x, held = blobs(600), blobs(100, seed=1)
    name = "diag" if kind == "diagonal" else kind
    solver = Solver(3, covariance_type=name, reg_covar=1e-4, max_iter=60, random_state=7).fit(x.numpy())  # type: ignore[arg-type]
    fitted = fit_classes([x], x, kind, 3, 7)  # type: ignore[arg-type]
    whiten = shrink(fitted, kind, Shrinkage(0.0, 0.0))[0]  # type: ignore[arg-type]
    log_weight = torch.log(fitted[0].rows / fitted[0].rows.sum())
    ours = torch.logsumexp(log_weight + log_components(held, fitted[0].mean, whiten), dim=1)
    np.testing.assert_allclose(ours.numpy(), solver.score_samples(held.numpy()), rtol=1e-4, atol=1e-4)


def test_mixture_finds_the_three_groups() -> None:
    model = GaussianMixture(GaussianMixtureConfig(), EventSpec.real(3), PLAIN).double()
    model.fit(Batch(blobs(1500)), Rng.of(0, 1), Batch(blobs(500, seed=1)))
    assert int((model.log_weight.exp() > 0.1).sum()) >= 3
    held = blobs(2000, seed=2)
    mix = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [0.0, 0.3, 0.4]], dtype=torch.float64)
    truth = torch.distributions.MultivariateNormal(torch.zeros(3, dtype=torch.float64), scale_tril=mix)
    entropy = float(truth.entropy()) + float(np.log(3))
    assert entropy - 0.1 < -float(model.log_prob(held).value.mean()) < entropy + 0.1


def test_one_gaussian_is_the_sample_mean_and_covariance() -> None:
    x = blobs(900)[::3]
    model = GaussianMixture(GaussianMixtureConfig(components=1), EventSpec.real(3), PLAIN).double()
    model.fit(Batch(x), Rng.of(0, 1), Batch(x))
    torch.testing.assert_close(model.mean[0, 0], x.mean(0))
    covariance = torch.linalg.inv(model.whiten[0].T @ model.whiten[0])
    torch.testing.assert_close(covariance, torch.cov(x.T, correction=0), rtol=0.05, atol=0.01)


def test_kernel_density_is_scikit_learns() -> None:
    x, held = blobs(200), blobs(50, seed=1)
    model = KernelDensity(KernelDensityConfig(max_points=300, bandwidth=0.7), EventSpec.real(3), PLAIN).double()
    model.fit(Batch(x), Rng.of(0, 1))
    expected = SolverKDE(bandwidth=0.7).fit(x.numpy()).score_samples(held.numpy())
    np.testing.assert_allclose(model.log_prob(held).value.numpy(), expected, rtol=1e-6)


def test_kernel_width_is_the_best_on_held_out_rows() -> None:
    x, held = blobs(500), blobs(300, seed=1)
    model = KernelDensity(KernelDensityConfig(max_points=500), EventSpec.real(3), PLAIN).double()
    model.fit(Batch(x), Rng.of(0, 1), Batch(held))
    chosen, best = float(model.bandwidth), float(model.log_prob(held).value.mean())
    for factor in (1 / 1.3, 1.3):
        model.bandwidth.fill_(chosen * factor)
        assert float(model.log_prob(held).value.mean()) < best


def test_kernel_density_far_from_the_origin_keeps_its_digits() -> None:
    x = blobs(100).float() + 1e4
    model = KernelDensity(KernelDensityConfig(max_points=100, bandwidth=0.7), EventSpec.real(3), PLAIN)
    model.fit(Batch(x), Rng.of(0, 1))
    expected = SolverKDE(bandwidth=0.7).fit(x.double().numpy()).score_samples(x.double().numpy())
    np.testing.assert_allclose(model.log_prob(x).value.numpy(), expected, atol=0.02)


def test_counts_are_the_smoothed_frequencies() -> None:
    segment = Segment(support=Support.CATEGORICAL, classes=3)
    tables = CountTables(segment, 1, 512).double()
    x = torch.tensor([0.0] * 70 + [1.0] * 30)[:, None]
    tables.fit(choice_rows(x, None, Rng.of(0, 1), Batch(x)))
    p = tables.log_prob(torch.arange(3.0)[:, None])[:, 0].exp()
    a = float(p[2]) * 3 * 100 / (1 - float(p[2]) * 3)  # p_2 = (0 + a/3) / (100 + a)
    assert 0.4 < a < 250
    torch.testing.assert_close(p, (torch.tensor([70.0, 30, 0]).double() + a / 3) / (100 + a))


@pytest.mark.parametrize("high", [3, 40, 511, 5_000, 99_999])
def test_integer_tables_sum_to_one_and_sample_themselves(high: int) -> None:
    event = EventSpec(shape=(2,), segments=(Segment(support=Support.INTEGER, size=2, low=-7, high=high - 7),))
    rng = Rng.of(0, 2000)
    x = torch.floor(rng.uniform("x", 2) ** 6 * (high + 1)) - 7
    x[:600, 0] = -7
    model = Independent(IndependentConfig(cells=64), event, PLAIN).double()
    model.fit(Batch(x), Rng.of(0, 1))
    tables = model.parts[0]
    assert isinstance(tables, CountTables)
    every = torch.arange(-7, high - 6, dtype=torch.float64)
    for column in range(2):
        only = tables.log_mass.clone()
        tables.log_mass[:, 1 - column] = 0
        width = tables.edges[1 - column, 1:] - tables.edges[1 - column, :-1]
        tables.log_mass[:, 1 - column] = torch.log(width.clamp(min=1))
        pair = torch.zeros(len(every), 2, dtype=torch.float64) - 7
        pair[:, column] = every
        assert float(tables.log_prob(pair).exp().sum()) == pytest.approx(1.0, abs=1e-9)
        tables.log_mass.copy_(only)
    drawn = model.sample(4000, rng=Rng.of(9, 4000))
    assert drawn.min() >= -7
    assert drawn.max() <= high - 7
    assert torch.equal(drawn, drawn.round())
    assert float((drawn[:, 0] == -7).double().mean()) == pytest.approx(float((x[:, 0] == -7).double().mean()), abs=0.05)


def test_independent_reals_come_near_their_entropy() -> None:
    rng = Rng.of(0, 4000)
    two = torch.where(rng.uniform("side") < 0.5, -3.0, 3.0)[:, None] + rng.normal("x", 1)
    x = torch.cat([two, rng.normal("y", 1)], dim=1)
    model = Independent(IndependentConfig(), EventSpec.real(2), PLAIN)
    model.fit(Batch(x[:3000]), Rng.of(0, 1), Batch(x[3000:]))
    normal = 0.5 * np.log(2 * np.pi * np.e)
    assert -float(model.log_prob(x[3000:]).value.mean()) == pytest.approx(2 * normal + np.log(2), abs=0.12)


def test_independent_does_not_collapse_on_single_rows() -> None:
    x = torch.randn(40, 1)
    model = Independent(IndependentConfig(), EventSpec.real(1), PLAIN)
    model.fit(Batch(x), Rng.of(0, 1), Batch(x))  # judged on its own rows: a spike on each would win
    side = torch.linspace(-12, 12, 24_001)[:, None]
    assert float(model.log_prob(side).value.exp().sum()) * 1e-3 == pytest.approx(1.0, abs=1e-3)
    assert float(model.log_prob(side).value.max()) < 4


def test_user_mistakes_are_named() -> None:
    numbers = ContextSpec(size=2)
    for cls, config in (
        (Independent, IndependentConfig()),
        (GaussianMixture, GaussianMixtureConfig()),
        (KernelDensity, KernelDensityConfig(max_points=4)),
    ):
        with pytest.raises(UsageError, match="on a label only"):
            cls(config, EventSpec.real(2), numbers)  # type: ignore[arg-type]
    sphere = EventSpec(shape=(3,), segments=(Segment(support=Support.SPHERE, size=3),))
    with pytest.raises(UnsupportedEventError, match="sphere"):
        Independent(IndependentConfig(), sphere, PLAIN)
    with pytest.raises(ConfigError, match="max_points"):
        KernelDensityConfig.parse({"max_point": 3})
