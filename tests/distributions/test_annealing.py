"""Transitions leave a density as it is; annealed and path weights find constants and modes that are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from headwater.bijections.affine import Affine
from headwater.bijections.bijection import Bijection
from headwater.bijections.combinators import Compose
from headwater.bijections.coupling import Coupling
from headwater.distributions.annealing import annealed, bridge, schedule, tune
from headwater.distributions.chains import run_chains
from headwater.distributions.normal import StandardNormal
from headwater.distributions.stochastic_flow import MarkovLayer, StochasticFlow
from headwater.distributions.transitions import Hamiltonian, RandomWalk, Transition, hamiltonian, leapfrog
from headwater.errors import DataError, UsageError
from headwater.events import ContextSpec, EventSpec
from headwater.models.flows.realnvp import RealNVP, RealNVPConfig
from headwater.rng import Rng
from headwater.settings import OptimizerSettings
from headwater.training.anneal import anneal
from headwater.training.path_kl import fit_stochastic
from headwater.training.reverse_kl import fit_to_density, weigh

KERNELS: dict[str, tuple[Transition, float]] = {
    "hamiltonian": (Hamiltonian(leapfrogs=5), 0.5),
    "langevin": (Hamiltonian(leapfrogs=1), 0.9),
    "random walk": (RandomWalk(), 1.2),
}


def two_modes(x: Tensor) -> Tensor:
    """Three parts in four around (4, 0), one around (-4, 0); the integral is ``e^2``."""
    square = (x[:, None] - x.new_tensor([[4.0, 0.0], [-4.0, 0.0]])).square().sum(-1)
    shares = x.new_tensor([0.75, 0.25]).log()
    return 2.0 + torch.logsumexp(shares - 2 * square, dim=1) - math.log(2 * math.pi * 0.25)


def wide(x: Tensor) -> Tensor:
    return -x.square().sum(1) / 18 - math.log(2 * math.pi * 9)


def laplace_and_normal(x: Tensor) -> Tensor:
    return -x[:, 0].abs() - 0.5 * ((x[:, 1] - x[:, 0]) / 0.5).square()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_transition_leaves_its_density_as_it_is(kernel: str) -> None:
    transition, step = KERNELS[kernel]
    n, rng = 20_000, Rng.of(0, 20_000)
    u = rng.uniform("laplace", dtype=torch.float64) - 0.5
    first = -u.sign() * (-2 * u.abs()).log1p()
    x = torch.stack([first, first + 0.5 * rng.normal("second", dtype=torch.float64)], 1)
    begin = x
    for t in range(8):
        done = transition(laplace_and_normal, x, rng.fold(t), step=step)
        x = done.x
    assert 0.2 < done.chance.mean() < 0.99
    assert (begin != x).any(1).float().mean() > 0.8
    grid = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    edges = torch.where(grid < 0.5, (2 * grid).log(), -(2 - 2 * grid).log())
    inside = (x[:, :1] <= edges).double().mean(0)
    assert float((inside - grid).abs().max()) < 1.63 / math.sqrt(n)  # Kolmogorov's 1 % point
    rest = ((x[:, 1] - x[:, 0]) / 0.5).sort().values
    normal = torch.special.ndtr(rest)
    ranks = torch.arange(1, n + 1, dtype=torch.float64) / n
    assert float((normal - ranks).abs().max()) < 1.63 / math.sqrt(n)


def test_leapfrog_is_reversible_and_nearly_keeps_the_energy() -> None:
    rng = Rng.of(0, 16)
    x, v = rng.normal("x", 2, dtype=torch.float64), rng.normal("v", 2, dtype=torch.float64)
    y, w, before, after = leapfrog(two_modes, x, v, 0.01, 20)
    back, _, _, _ = leapfrog(two_modes, y, -w, 0.01, 20)
    torch.testing.assert_close(back, x, atol=1e-10, rtol=0)
    torch.testing.assert_close(after - 0.5 * w.square().sum(1), before - 0.5 * v.square().sum(1), atol=0.1, rtol=1e-2)


def test_a_row_moves_by_itself_and_never_to_where_the_density_is_not_a_number() -> None:
    rng, x = Rng.of(3, 8), Rng.of(1, 8).normal("x", 2, dtype=torch.float64)
    whole = hamiltonian(two_modes, x, rng, step=0.3)
    part = hamiltonian(two_modes, x[5:6], rng.rows(slice(5, 6)), step=0.3)
    torch.testing.assert_close(whole.x[5:6], part.x, atol=0, rtol=0)
    stuck = hamiltonian(lambda x: x.sum(1) * math.nan, x, rng, step=0.3)
    assert not stuck.accepted.any()
    assert (stuck.chance == 0).all()
    torch.testing.assert_close(stuck.x, x, atol=0, rtol=0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_annealing_finds_the_constant_and_both_modes(kernel: str) -> None:
    transition, rng, pilot = KERNELS[kernel][0], Rng.of(0, 1000), Rng.of(1, 200)
    betas = schedule(24, power=1.5)
    steps = tune(3 * pilot.normal("x", 2), wide, two_modes, pilot, betas=betas, transition=transition, acceptance=0.6)
    found = annealed(
        3 * rng.normal("x", 2), wide, two_modes, rng, betas=betas, steps=steps, transition=transition, moves=2
    )
    assert found.log_evidence_stderr < 0.06
    assert abs(found.log_evidence - 2.0) < 4 * found.log_evidence_stderr
    assert float(found.mean((found.samples[:, 0] > 0).float())) == pytest.approx(0.75, abs=0.07)


def test_the_evidence_is_unbiased_at_any_number_of_temperatures() -> None:
    """Few and rough temperatures: the mean weight of many repetitions is still one, by its own z-score."""
    rng = Rng.of(2, 40_000)
    x = 3 * rng.normal("x", 2, dtype=torch.float64)
    found = annealed(x, wide, two_modes, rng, betas=(0.0, 0.1, 1.0), steps=(0.5, 0.2))
    w = (found.log_weights - 2.0).exp()
    assert abs(float(w.mean()) - 1) < 4 * float(w.std()) / math.sqrt(len(w))


def test_a_path_of_wrong_temperatures_is_refused() -> None:
    x, rng = torch.zeros(4, 2), Rng.of(0, 4)
    with pytest.raises(UsageError, match="rise from 0 to 1"):
        annealed(x, wide, two_modes, rng, betas=(0.0, 0.5, 0.5, 1.0), steps=(0.1, 0.1, 0.1))
    with pytest.raises(UsageError, match="Expected 2 step lengths"):
        annealed(x, wide, two_modes, rng, betas=(0.0, 0.5, 1.0), steps=(0.1,))
    with pytest.raises(DataError, match="importance weights are not numbers"):
        annealed(x, wide, lambda x: x.sum(1) * math.nan, rng, betas=(0.0, 1.0), steps=(0.1,))
    nowhere = bridge(wide, lambda x: torch.full((len(x),), -math.inf), 0.0)
    assert torch.isfinite(nowhere(x)).all()


def couplings() -> list[Bijection]:
    torch.manual_seed(0)
    pairs = ([0], [1])
    return [Compose(*(Coupling(Affine(), 2, moved, width=16, blocks=1) for moved in pairs)) for _ in range(2)]


def test_where_reverse_kl_misses_a_mode_stochastic_layers_find_it() -> None:
    torch.manual_seed(0)
    plain = RealNVP(
        RealNVPConfig(transforms=2, width=16, blocks=1, activation="silu"), EventSpec.real(2), ContextSpec()
    )
    with torch.no_grad():
        plain.flow.bijection.parts[-1].mean.copy_(torch.tensor([-2.0, 0.0]))  # type: ignore[union-attr, operator]
    fit_to_density(plain, two_modes, steps=150, batch_size=64, optimizer=OptimizerSettings(lr=1e-2))
    missed = weigh(plain, two_modes, 2000, seed=5)
    assert missed.effective_share > 0.5  # it looks good ...
    assert missed.log_evidence == pytest.approx(2 + math.log(0.75), abs=0.05)  # ... and a quarter is missing

    first, second = couplings()
    layers = [MarkovLayer(0.0, step=0.6), first, MarkovLayer(0.2, 0.5, 2), second, *hot()]
    flow = StochasticFlow(StandardNormal(2), [*layers], two_modes)
    losses = fit_stochastic(flow, steps=40, batch_size=64)
    found = flow.weigh(4000, seed=5)
    assert sum(losses[-10:]) < sum(losses[:10])
    assert found.log_evidence_stderr < 0.15
    assert abs(found.log_evidence - 2.0) < 4 * found.log_evidence_stderr
    assert float(found.mean((found.samples[:, 0] > 0).float())) == pytest.approx(0.75, abs=0.15)


def hot() -> list[MarkovLayer]:
    return [MarkovLayer(beta, 0.25) for beta in (0.4, 0.7, 1.0)]


def test_path_weights_are_unbiased_for_any_parameters() -> None:
    first, second = (bijection.double() for bijection in couplings())
    flow = StochasticFlow(
        StandardNormal(2), [first, MarkovLayer(0.3, 0.4), second, MarkovLayer(0.8)], laplace_and_normal
    )
    found = flow.weigh(20_000, dtype=torch.float64)
    truth = 2 * math.sqrt(2 * math.pi) * 0.5
    w = found.log_weights.exp()
    assert abs(float(w.mean()) - truth) < 4 * float(w.std()) / math.sqrt(len(w))
    with pytest.raises(UsageError, match="Expected bijections and Markov layers, got none"):
        StochasticFlow(StandardNormal(2), [], two_modes)
    with pytest.raises(UsageError, match="beta in"):
        MarkovLayer(1.5)


def test_annealing_in_the_noise_of_a_flow_makes_its_weights_more_even() -> None:
    torch.manual_seed(0)
    flow = RealNVP(RealNVPConfig(transforms=2, width=16, blocks=1, activation="silu"), EventSpec.real(2), ContextSpec())
    with torch.no_grad():
        flow.flow.bijection.parts[-1].mean.copy_(torch.tensor([1.0, -0.5]))  # type: ignore[union-attr, operator]

    def log_density(x: Tensor) -> Tensor:
        return 3.0 - 0.5 * x[:, 0].square() - 2.0 * (x[:, 1] - 0.5 * x[:, 0]).square()

    before, after = weigh(flow, log_density, 2000), anneal(flow, log_density, 2000, temperatures=8)
    assert before.effective_share < 0.5
    assert after.effective_share > before.effective_share + 0.15
    truth = 3 + math.log(math.pi)
    for found in (after, anneal(flow, log_density, 1000, temperatures=8, spread=2.0)):
        assert abs(found.log_evidence - truth) < 4 * found.log_evidence_stderr
        assert found.mean(found.samples).tolist() == pytest.approx([0, 0], abs=0.15)


def test_chains_have_the_moments_of_what_they_sample() -> None:
    covariance = torch.tensor([[4.0, 1.9], [1.9, 1.0]], dtype=torch.float64)
    precision = torch.linalg.inv(covariance)

    def normal(x: Tensor) -> Tensor:
        return -0.5 * ((x - 3) @ precision * (x - 3)).sum(1)

    start = 5 * Rng.of(0, 32).normal("start", 2, dtype=torch.float64)
    found = run_chains(normal, start, steps=300, warmup=200, leapfrogs=12)
    assert float(found.rhat.max()) < 1.02
    assert bool(((found.samples.mean(0) - 3).abs() < 4.5 * found.stderr).all())
    torch.testing.assert_close(torch.cov(found.samples.T), covariance, rtol=0.12, atol=0)
    assert bool(((found.acceptance > 0.5) & (found.acceptance < 0.99)).all())
