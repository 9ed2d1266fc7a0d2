"""Continuous flows: closed-form derivatives, a linear equation's exact answer, probes, the grid, learning."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from headwater.distributions.toys import TOYS
from headwater.errors import ConfigError, UnsupportedEventError, UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import Batch
from headwater.models.flows import continuous
from headwater.models.flows.continuous import ContinuousFlow
from headwater.models.flows.ffjord import FFJORD
from headwater.models.flows.otflow import OTFlow
from headwater.networks.potential import Potential
from headwater.networks.tangents import TangentMLP
from headwater.rng import Rng

LABELS = ContextSpec(size=3, classes=("a", "b", "c"))
MODELS: tuple[type[ContinuousFlow], ...] = (FFJORD, OTFlow)
every = pytest.mark.parametrize("cls", MODELS)


def stir(module: nn.Module, spread: float = 0.3) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(spread * torch.randn_like(parameter))


def build(
    cls: type[ContinuousFlow], size: int, context: ContextSpec = LABELS, *, spread: float = 0.1, **settings: Any
) -> ContinuousFlow:
    config = cls.Config.parse({"width": 8, "layers": 2, "steps": 4} | settings, where="model")
    model = cls(config, EventSpec.real(size), context).double()
    stir(model, spread)
    return model


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def labels(n: int) -> Tensor:
    return torch.eye(3, dtype=torch.float64)[torch.arange(n) % 3]


@pytest.mark.parametrize("layers", [2, 3, 4])
@pytest.mark.parametrize("context", [0, 3])
def test_gradient_and_laplacian_of_the_potential_are_those_of_autodiff(layers: int, context: int) -> None:
    potential = Potential(5, context, width=7, layers=layers, rank=3).double()
    stir(potential, 0.5)
    x, tau, c = normal(4, 5), torch.rand(4, dtype=torch.float64), normal(4, context) if context else None
    found = potential.derivatives(x, tau, c)
    torch.testing.assert_close(potential.gradient(x, tau, c), found.gradient, rtol=1e-12, atol=1e-12)
    for row in range(4):

        def value(x: Tensor, tau: Tensor, row: int = row) -> Tensor:
            return potential(x[None], tau[None], None if c is None else c[row : row + 1])[0]

        slope, change = torch.autograd.functional.jacobian(value, (x[row], tau[row]))
        hessian = torch.autograd.functional.hessian(lambda x, r=row, v=value: v(x, tau[r]), x[row])
        torch.testing.assert_close(found.gradient[row], slope, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(found.time[row], change, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(found.laplacian[row], hessian.trace(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("waves", [0, 2])
def test_derivatives_along_directions_are_those_of_autodiff(layers: int, waves: int) -> None:
    net = TangentMLP(4, 3, width=9, layers=layers, waves=waves).double()
    stir(net, 0.5)
    x, c, directions = normal(5, 4), normal(5, 3), normal(6, 5, 4)
    value, along = net.derive(x, c, directions)
    torch.testing.assert_close(value, net(x, c), rtol=1e-12, atol=1e-12)
    for row in range(5):
        jacobian = torch.autograd.functional.jacobian(lambda p, r=row: net(p[None], c[r : r + 1])[0], x[row])
        torch.testing.assert_close(along[:, row], directions[:, row] @ jacobian.T, rtol=1e-10, atol=1e-10)


@every
def test_divergence_and_velocity_are_those_of_autodiff(cls: type[ContinuousFlow]) -> None:
    model = build(cls, 3, spread=0.3)
    t, x, c = torch.rand(4, dtype=torch.float64), normal(4, 3), labels(4)
    v, div, _ = model.rates(t, x, c, None)
    torch.testing.assert_close(v, model.velocity(t, x, c), rtol=1e-12, atol=1e-12)
    for row in range(4):
        one = slice(row, row + 1)
        jacobian = torch.autograd.functional.jacobian(lambda p, o=one: model.velocity(t[o], p[None], c[o])[0], x[row])
        torch.testing.assert_close(div[row, 0], jacobian.trace(), rtol=1e-10, atol=1e-10)


def test_jacobian_cost_is_the_squared_norm_and_all_signs_together_give_it() -> None:
    model = build(FFJORD, 3, spread=0.3)
    t, x, c = torch.rand(2, dtype=torch.float64), normal(2, 3), labels(2)
    _, div, exact = model.rates(t, x, c, None)
    jacobian = torch.autograd.functional.jacobian(lambda p: model.velocity(t[:1], p[None], c[:1])[0], x[0])
    torch.testing.assert_close(exact[0, 0], jacobian.square().sum())
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    _, products, probed = model.rates(t, x, c, signs[:, None].expand(-1, 2, -1))
    torch.testing.assert_close(products.mean(1, keepdim=True), div)  # unbiased: their mean over all signs is exact
    torch.testing.assert_close(probed[:, 0], exact[:, 0])


def test_a_linear_equation_has_the_density_of_the_matrix_exponential() -> None:
    """With N = 0 the potential's flow is dx/dt = B x + b: x_1 = e^B x_0 + B^-1 (e^B - I) b is normal."""
    model = OTFlow(OTFlow.Config(width=4, steps=64), EventSpec.real(3), ContextSpec()).double()
    with torch.no_grad():
        model.potential.A.copy_(normal(3, 4) * torch.tensor([1.0, 1, 1, 0]))
        model.potential.b.copy_(normal(4))
        model.norm.mean.copy_(normal(3))
        model.norm.log_scale.copy_(0.3 * normal(3))
    b_matrix = model.potential.A[:, :3].T @ model.potential.A[:, :3]
    grown = torch.matrix_exp(b_matrix)
    centre = torch.linalg.solve(b_matrix, (grown - torch.eye(3)) @ model.potential.b[:3])
    wide = torch.diag((-model.norm.log_scale).exp())
    truth = torch.distributions.MultivariateNormal(
        model.norm.mean + wide @ centre, covariance_matrix=wide @ grown @ grown.T @ wide
    )
    x = truth.sample((20,))
    score = model.log_prob(x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(score.value, truth.log_prob(x).detach(), rtol=1e-7, atol=1e-7)
    nll = model.loss(Batch(x), "model", Rng.of(0, 20)).terms["nll"]
    torch.testing.assert_close(nll, -truth.log_prob(x).mean(), rtol=1e-4, atol=1e-4)


@every
def test_training_on_a_fine_grid_is_the_score(cls: type[ContinuousFlow]) -> None:
    model, x, c = build(cls, 2, steps=40), normal(9, 2), labels(9)
    nll = model.loss(Batch(x, c), "model", Rng.of(0, 9)).terms["nll"]
    score = model.log_prob(x, context=c, rtol=1e-8, atol=1e-8)
    assert score.kind == "estimate"
    assert score.stderr is None
    assert score.protocol["trace"] == "exact"
    assert 0 <= score.protocol["ode_error"] < 1e-4
    torch.testing.assert_close(nll, -score.value.mean(), rtol=1e-5, atol=1e-5)


def test_probes_are_unbiased_and_state_their_standard_error() -> None:
    model, x, c = build(FFJORD, 5, spread=0.2), normal(6, 5), labels(6)
    exact = model.log_prob(x, context=c, trace="exact")
    probed = model.log_prob(x, context=c, trace="probes", draws=200, rng=Rng.of(0, 6))
    assert probed.stderr is not None
    assert probed.stderr.min() > 0
    assert ((probed.value - exact.value).abs() < 4 * probed.stderr + 1e-4).all()
    with pytest.raises(UsageError, match="needs rng"):
        model.log_prob(x, context=c, trace="probes")


def test_beyond_eight_dimensions_training_uses_a_probe_of_each_event_alone() -> None:
    model, x, c, rng = build(FFJORD, 9), normal(4, 9), labels(4), Rng.of(0, 4)
    whole = model.loss(Batch(x, c), "model", rng).terms["nll"]
    other = model.loss(Batch(x, c), "model", rng.fold(1)).terms["nll"]
    single = [model.loss(Batch(x[i : i + 1], c[i : i + 1]), "model", rng.rows(slice(i, i + 1))) for i in range(4)]
    assert whole != other
    torch.testing.assert_close(whole, torch.stack([losses.terms["nll"] for losses in single]).mean())


@every
def test_codes_come_back_and_chunks_change_nothing(cls: type[ContinuousFlow], monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, c = build(cls, 3, spread=0.2, embedding=4), normal(7, 3), labels(7)
    z = model.to_noise(x, context=c)
    torch.testing.assert_close(model.from_noise(z, context=c), x, rtol=1e-4, atol=1e-4)
    whole = model.log_prob(x, context=c).value
    monkeypatch.setattr(continuous, "_FLOATS", 2 * 4 * 8)  # two events at a time when scoring
    torch.testing.assert_close(model.log_prob(x, context=c).value, whole, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(model.to_noise(x, context=c), z, rtol=1e-9, atol=1e-9)
    assert model.log_prob(x[:0], context=c[:0]).value.shape == (0,)


@every
def test_recomputing_for_the_gradient_changes_nothing(cls: type[ContinuousFlow]) -> None:
    plain, lean = build(cls, 2), build(cls, 2, checkpoint=True)
    lean.load_state_dict(plain.state_dict())
    batch, rng = Batch(normal(5, 2), labels(5)), Rng.of(0, 5)
    gradients = [
        torch.autograd.grad(model.loss(batch, "model", rng).total, tuple(model.parameters())) for model in (plain, lean)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_stiffness_is_nothing_within_the_reach_of_a_step_and_grows_beyond_it() -> None:
    model, x, t = build(FFJORD, 2, ContextSpec(), spread=0.1), normal(6, 2), torch.rand(6, dtype=torch.float64)
    assert (model.rates(t, x, None, None)[2][:, 1] == 0).all()
    with torch.no_grad():
        model.field.exit.weight.mul_(300)
    jacobian, stiffness = model.rates(t, x, None, None)[2].T
    torch.testing.assert_close(stiffness, (jacobian - 8).clamp(min=0))
    assert (stiffness > 0).any()


@every
def test_it_learns_two_moons(cls: type[ContinuousFlow]) -> None:
    toy = TOYS["moons"]
    torch.manual_seed(0)
    model = cls(
        cls.Config.parse({"width": 16, "layers": 2, "steps": 4}, where="model"), EventSpec.real(2), ContextSpec()
    )
    model.initialize(Batch(toy.sample(1000, Rng.of(1, 1000))), Rng.of(0, 1000))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for step in range(40):
        x = toy.sample(128, Rng.of(step + 10, 128))
        optimizer.zero_grad()
        model.loss(Batch(x), "model", Rng.of(step, 128)).total.backward()
        optimizer.step()
    x = toy.sample(500, Rng.of(3, 500))
    gaussian = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov()).log_prob(x).mean()
    score = model.log_prob(x, solver="rk4", steps=12).value.mean()
    assert score > gaussian + 0.15
    assert score < -toy.entropy + 0.1  # not above the truth: the grid of training was not taken advantage of


@every
def test_refusals(cls: type[ContinuousFlow]) -> None:
    discrete = EventSpec.pixels(1, 2, 2, levels=4)
    with pytest.raises(UnsupportedEventError, match=str(Encoding.REAL.name)):
        cls(cls.Config(), discrete, ContextSpec())
    model = build(cls, 2)
    for call in (model.sample, lambda n, **rest: model.log_prob(normal(n, 2), **rest)):
        with pytest.raises(ConfigError):
            call(2, rng=Rng.of(0, 2), solver="magic")
    assert math.isfinite(model.log_prob(normal(2, 2)).value.sum())


COMPILED = """
import torch
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.ffjord import FFJORD
from headwater.models.flows.otflow import OTFlow
from headwater.rng import Rng

torch.set_num_threads(1)
for cls, size in ((FFJORD, 9), (OTFlow, 2)):
    torch.manual_seed(0)
    model = cls(cls.Config(width=8, layers=2, steps=1), EventSpec.real(size), ContextSpec(size=2))
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    batch, rng = Batch(torch.randn(6, size), torch.randn(6, 2)), Rng.of(0, 6)
    fast = torch.compile(model.loss, fullgraph=True, backend="aot_eager")(batch, "model", rng).total
    plain = model.loss(batch, "model", rng).total
    torch.testing.assert_close(fast, plain)
    fast.backward()
    assert all(p.grad is not None for p in model.parameters())
"""


def test_the_losses_compile_without_a_break() -> None:
    """In a process of its own: the run-time shape checks of the tests are breaks themselves."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
