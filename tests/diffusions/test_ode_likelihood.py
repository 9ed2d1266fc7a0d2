"""The ODE likelihood against closed forms: a Gaussian's velocity is known, and so is its density."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from headwater.distributions.solvers import Velocity
from headwater.events import ContextSpec, EventSpec
from headwater.models.diffusions.options import FlowMatchingConfig
from headwater.models.diffusions.velocity import PreconditionedVelocity, build_velocity
from headwater.models.ode.likelihood import log_likelihood, rademacher
from headwater.models.ode.solve import SolverOptions
from headwater.models.ode.trace import exact_divergence, probed_divergence
from headwater.rng import Rng

MEAN = torch.tensor([0.5, -1.0, 0.2], dtype=torch.float64)
FACTOR = torch.tensor([[1.2, 0, 0], [0.5, 0.4, 0], [-0.3, 0.2, 0.8]], dtype=torch.float64)
COVARIANCE = FACTOR @ FACTOR.T
IDENTITY = torch.eye(3, dtype=torch.float64)


def gaussian_velocity(t: Tensor, x: Tensor) -> Tensor:
    """``m + (t S - (1 - t) I) (t^2 S + (1 - t)^2 I)^-1 (x - t m)``: the regression of x1 - x0 on x_t."""
    t = t.reshape(-1, 1, 1)
    joint = t * COVARIANCE - (1 - t) * IDENTITY
    variance = t**2 * COVARIANCE + (1 - t) ** 2 * IDENTITY
    centred = (x - t[:, 0] * MEAN)[..., None]
    return MEAN + (joint @ torch.linalg.solve(variance, centred))[..., 0]


@pytest.mark.parametrize("solver", ["heun", "rk4", "adaptive"])
def test_a_gaussian_has_its_own_density(solver: str) -> None:
    x = MEAN + 1.5 * torch.randn(8, 3, dtype=torch.float64) @ FACTOR.T
    truth = torch.distributions.MultivariateNormal(MEAN, COVARIANCE).log_prob(x)
    options = SolverOptions.parse({"solver": solver, "steps": 300 if solver == "heun" else 40})
    assert (log_likelihood(gaussian_velocity, x, options)[:, 0] - truth).abs().max() < 1e-3


def test_probes_average_to_the_density_within_their_standard_error() -> None:
    x = MEAN + torch.randn(10, 3, dtype=torch.float64) @ FACTOR.T
    truth = torch.distributions.MultivariateNormal(MEAN, COVARIANCE).log_prob(x)
    probes = rademacher(Rng.of(3, 10), 100, x)
    columns = log_likelihood(gaussian_velocity, x, SolverOptions(solver="rk4", steps=24), probes)
    assert columns.shape == (10, 100)
    error = columns.std(1) / math.sqrt(100)
    assert error.min() > 0
    assert ((columns.mean(1) - truth).abs() < 4 * error + 1e-3).all()


def small_field(shape: tuple[int, ...], *, stir: float = 0.3) -> PreconditionedVelocity:
    config = FlowMatchingConfig(
        network="auto" if len(shape) == 1 else "unet", width=16, blocks=1, channels=8, embedding=8, features=1
    )
    field = build_velocity(config, EventSpec.real(*shape), ContextSpec()).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(stir * torch.randn_like(parameter))
    return field.requires_grad_(False)


@pytest.mark.parametrize("shape", [(5,), (2, 4, 3)])
def test_exact_divergence_is_the_trace_of_the_jacobian(shape: tuple[int, ...]) -> None:
    net, x, t = small_field(shape), torch.randn(4, *shape, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    v, div = exact_divergence(lambda point: net(t, point, None), x)
    assert torch.allclose(v, net(t, x, None))
    size = math.prod(shape)
    for row in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda p, r=row: net(t[r : r + 1], p[None], None)[0], x[row])
        assert torch.allclose(div[row, 0], jacobian.reshape(size, size).trace())


@pytest.mark.parametrize("shape", [(5,), (2, 4, 3)])
def test_all_signs_together_give_the_exact_trace_and_few_are_unbiased(shape: tuple[int, ...]) -> None:
    net, x = small_field(shape), torch.randn(3, *shape, dtype=torch.float64)
    t = torch.rand(3, dtype=torch.float64)
    field = lambda point: net(t, point, None)  # noqa: E731
    _, exact = exact_divergence(field, x)
    _, some = probed_divergence(field, x, rademacher(Rng.of(0, 3), 500, x))
    error = some.std(1) / math.sqrt(500)
    assert ((some.mean(1) - exact[:, 0]).abs() < 4 * error).all()
    if shape == (5,):  # the average over all 2^5 signs is the trace, without any error
        signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 5)
        _, every = probed_divergence(field, x, signs[:, None].expand(-1, 3, -1))
        assert torch.allclose(every.mean(1), exact[:, 0])


def test_probes_are_signs_of_their_row_alone() -> None:
    x = torch.zeros(6, 2, 3)
    probes = rademacher(Rng.of(0, 6), 4, x)
    assert probes.shape == (4, 6, 2, 3)
    assert set(probes.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(probes, rademacher(Rng.of(0, 6), 4, x.double()).float())
    assert torch.equal(probes[:, 2:4], rademacher(Rng.of(0, 6).rows(slice(2, 4)), 4, x[2:4]))


@pytest.mark.parametrize("size", [1, 2])
def test_density_integrates_to_one(size: int) -> None:
    net = small_field((size,), stir=0.15)
    axis = torch.linspace(-6, 6, 401 if size == 1 else 81, dtype=torch.float64)
    x = axis[:, None] if size == 1 else torch.cartesian_prod(axis, axis)

    def velocity(t: Tensor, x: Tensor) -> Tensor:
        return net(t, x, None)

    log_p = log_likelihood(velocity, x, SolverOptions(solver="rk4", steps=24))[:, 0]
    assert log_p.exp().sum().item() * float(axis[1] - axis[0]) ** size == pytest.approx(1, abs=5e-3)
    assert not torch.allclose(log_p, torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1), atol=0.1)


def test_untrained_velocity_is_the_gaussian_of_its_scales() -> None:
    x = torch.randn(5000, 3, dtype=torch.float64) * torch.tensor([0.5, 1.0, 2.0]) + torch.tensor([1.0, 0.0, -3.0])
    net = small_field((3,), stir=0.0)
    net.fit_scales(x)
    velocity: Velocity = lambda t, x: net(t, x, None)  # noqa: E731
    truth = torch.distributions.Normal(x.mean(0), x.std(0)).log_prob(x[:50]).sum(1)
    assert torch.allclose(log_likelihood(velocity, x[:50], SolverOptions())[:, 0], truth, atol=1e-2)


def test_preconditioned_target_has_variance_one_at_every_time() -> None:
    data = 0.4 * torch.randn(200_000, 1, dtype=torch.float64) + 2
    net = small_field((1,), stir=0.0)
    net.fit_scales(data)
    noise = torch.randn_like(data)
    for time in (0.0, 0.3, 0.7, 1.0):
        t = torch.full((len(data),), time, dtype=torch.float64)
        x = (1 - time) * noise + time * data
        residual = (data - noise - net(t, x, None)) * net.weight(t, x).sqrt()  # what the network is to predict
        assert residual.mean().item() == pytest.approx(0, abs=0.01)
        assert residual.std().item() == pytest.approx(1, abs=0.01)
