"""Bases of flows: known log-densities, samples that follow them, gradients, and tails that suit heavy-tailed data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from headwater.distributions.base import Base, Estimated
from headwater.distributions.bases import build_base
from headwater.distributions.mixture import GaussianMixtureBase
from headwater.distributions.normal import StandardNormal
from headwater.distributions.resampled import Resampled
from headwater.distributions.student_t import StudentT, student_t_sample
from headwater.distributions.uniform import Uniform
from headwater.errors import ConfigError, UsageError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.realnvp import RealNVP
from headwater.rng import Rng

D, N = 3, 4000
BASES: dict[str, Callable[[], Base]] = {
    "normal": lambda: StandardNormal(D),
    "student-t": lambda: StudentT(D),
    "student-t, fixed": lambda: StudentT(D, degrees=3.0),
    "mixture": lambda: GaussianMixtureBase(D, components=4),
    "uniform": lambda: Uniform(D, -2.0, 3.0),
    "resampled": lambda: Resampled(D, tries=6, width=16),
}
every = pytest.mark.parametrize("name", BASES)


def build(name: str, dtype: torch.dtype = torch.float64) -> Base:
    torch.manual_seed(0)
    base = BASES[name]().to(dtype)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return base


def torch_twin(base: Base) -> torch.distributions.Distribution:
    if isinstance(base, StudentT):
        return torch.distributions.Independent(torch.distributions.StudentT(base.nu.double()), 1)
    if isinstance(base, GaussianMixtureBase):
        scales = (7 * torch.tanh(base.log_scales / 7)).exp()
        parts = torch.distributions.Independent(torch.distributions.Normal(base.means, scales), 1)
        return torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=base.logits), parts)
    return torch.distributions.Independent(torch.distributions.Normal(torch.zeros(D).double(), 1.0), 1)


@pytest.mark.parametrize("name", ["normal", "student-t", "student-t, fixed", "mixture"])
def test_log_prob_is_that_of_torch(name: str) -> None:
    base, z = build(name), 3 * torch.randn(50, D, dtype=torch.float64)
    torch.testing.assert_close(base.log_prob(z), torch_twin(base).log_prob(z))


def test_uniform_is_constant_on_the_closed_box_and_zero_outside() -> None:
    base = Uniform(2, -2.0, 3.0)
    z = torch.tensor([[-2.0, 3.0], [0.0, 0.0], [0.0, 3.01]])
    assert base.log_prob(z).exp().tolist() == pytest.approx([1 / 25, 1 / 25, 0.0])


@pytest.mark.parametrize("degrees", [0.7, 1.0, 2.5, 30.0, 200.0])
def test_students_t_draws_follow_it(degrees: float) -> None:
    z = StudentT(1, degrees=degrees).sample(Rng.of(0, N), dtype=torch.float64)[:, 0].numpy()
    assert scipy.stats.kstest(z, scipy.stats.t(degrees).cdf).pvalue > 1e-3


@every
def test_draws_follow_the_density(name: str) -> None:
    """Importance weights of the draws against another density have mean one; so have they in a half space."""
    base = build(name)
    with torch.no_grad():
        z = base.sample(Rng.of(1, 40_000), dtype=torch.float64)
        if name == "uniform":
            assert (z.min(0).values < -1.99).all()
            assert (z.max(0).values > 2.99).all()
        other = torch.distributions.Independent(torch.distributions.Normal(torch.full((D,), 0.3), 0.5), 1)
        log_p = base.log_prob(z)
    ratio = torch.exp(other.log_prob(z) - log_p)
    for inside in (torch.ones(len(z), dtype=torch.bool), z[:, 0] > 0.3):
        expected = 1.0 if bool(inside.all()) else 0.5
        values = ratio * inside
        assert abs(values.mean().item() - expected) < 5 * values.std().item() / math.sqrt(len(z)) + 0.01


@every
def test_a_draw_is_its_rows_alone_and_keeps_the_dtype(name: str) -> None:
    base = build(name, torch.float32)
    rng = Rng.of(2, 9)
    with torch.no_grad():
        whole = base.sample(rng)
        assert whole.shape == (9, D)
        assert whole.dtype == torch.float32
        torch.testing.assert_close(whole[3:5], base.sample(rng.rows(slice(3, 5))))
        assert base.sample(rng, temperature=0.0).isfinite().all()
        assert base.log_prob(whole).dtype == torch.float32
        assert base.log_prob(whole).isfinite().all()


def test_students_t_draws_carry_the_gradient_of_the_degrees() -> None:
    """d/dν E[log(1 + z²)] by the draws equals that by quadrature of the density."""
    nu = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    rng = Rng.of(3, 200_000)
    u, v = rng.uniform("u", dtype=torch.float64), rng.uniform("v", dtype=torch.float64)
    each = torch.log1p(student_t_sample(u, v, nu).square())
    (found,) = torch.autograd.grad(each.mean(), nu)
    step = 1e-3

    def mean(degrees: float) -> float:
        return float(scipy.stats.t(degrees).expect(lambda z: np.log1p(z**2)))

    expected = (mean(4 + step) - mean(4 - step)) / (2 * step)
    assert found.item() == pytest.approx(expected, rel=0.02)


def test_the_resampled_density_integrates_to_one_and_its_error_is_honest() -> None:
    torch.manual_seed(1)
    base = Resampled(1, tries=5, draws=4096, width=16).double()
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(0.8 * torch.randn_like(parameter))
        z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)[:, None]
        total = torch.trapezoid(base.log_prob(z).exp(), z[:, 0]).item()
        normal = torch.exp(-0.5 * z[:, 0] ** 2) / math.sqrt(2 * math.pi)
        truth = torch.trapezoid(normal * base.accept(z), z[:, 0])
        mean, error = base._constant(z)
    assert abs(total - 1) < 0.02
    assert abs((mean - truth) / error).item() < 4
    assert isinstance(base, Estimated)
    assert (base.standard_error(z) > 0).any()


def test_the_resampled_training_form_is_a_bound_that_is_tight_at_the_constant() -> None:
    torch.manual_seed(1)
    base = Resampled(2, tries=8, width=16).double()
    z = torch.randn(1, 2, dtype=torch.float64).expand(40_000, -1)
    with torch.no_grad():
        exact, constant = base.log_prob(z[:1]).item(), base._constant(z)[0]
        gaps = []
        for shift in (-1.0, 0.0, 1.0):
            base.log_odds.fill_(torch.logit(constant) + shift)
            gaps.append(exact - base.log_prob(z, None, Rng.of(0, len(z))).mean().item())
    assert gaps[1] == pytest.approx(0, abs=2e-3)
    assert min(gaps[0], gaps[2]) > 0.01


def test_the_resampled_base_says_that_its_score_is_an_estimate() -> None:
    model = RealNVP(RealNVP.Config(transforms=1, width=8, base="resampled"), EventSpec.real(2), ContextSpec())
    score = model.log_prob(torch.randn(5, 2))
    assert score.kind == "estimate"
    assert score.stderr is not None
    assert (score.stderr < 0.1).all()
    assert score.protocol["constant_draws"] == 1 << 14


@pytest.mark.parametrize("name", ["mixture", "resampled"])
def test_draws_without_gradients_are_not_passed_off_as_ones_with(name: str) -> None:
    model = RealNVP(RealNVP.Config(transforms=1, width=8, base=name), EventSpec.real(2), ContextSpec())
    with pytest.raises(UsageError, match="no gradient"):
        model.sample_and_log_prob(Rng.of(0, 3))
    assert not model.distribution().has_rsample
    assert model.distribution().sample((4,)).shape == (4, 2)


@pytest.mark.parametrize("setting", [{"base": "cauchy"}, {"base_components": 1}, {"base_degrees": 0.0}])
def test_bases_that_do_not_exist_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="base"):
        RealNVP.Config.parse(setting)


def trained(base: str, x: Tensor, steps: int = 250) -> RealNVP:
    torch.manual_seed(0)
    model = RealNVP(RealNVP.Config(transforms=1, width=16, blocks=1, base=base), EventSpec.real(2), ContextSpec())
    model.initialize(Batch(x.clamp(-10, 10)), Rng.of(0, len(x)))
    steps_of = torch.optim.Adam(model.parameters(), lr=2e-2)
    for step in range(steps):
        rows = torch.arange(256 * step, 256 * (step + 1)) % len(x)
        steps_of.zero_grad()
        model.loss(Batch(x[rows]), "model", Rng.of(step, 256)).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        steps_of.step()
    return model


def test_students_t_fits_heavy_tails_better_than_the_normal() -> None:
    cauchy = torch.distributions.Cauchy(0.0, 1.0)
    rng = Rng.of(4, 16_384)
    x = cauchy.icdf(rng.uniform("x", 2, dtype=torch.float64)).float()
    truth = cauchy.log_prob(x[8192:]).sum(1).mean().item()
    found = {}
    for base in ("normal", "student-t"):
        model = trained(base, x[:8192])
        with torch.no_grad():
            found[base] = model.log_prob(x[8192:]).value.mean().item()
    assert found["student-t"] > truth - 0.25
    assert found["student-t"] > found["normal"] + 1.0
    assert build_base("student-t", 2).nu.tolist() == pytest.approx([10.0, 10.0])
