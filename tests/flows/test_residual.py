"""Residual flows: contraction whatever the weights, the fixed point, estimates against exact log-determinants."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from headwater.bijections import power_series, residual
from headwater.bijections.estimated import estimates, surrogate
from headwater.bijections.residual import Residual, log_det, most_steps, solve
from headwater.errors import ConfigError, UsageError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.residual import ResidualFlow
from headwater.networks.lipschitz import LIPSCHITZ_ACTIVATIONS, spectral_bound
from headwater.rng import Rng

D, C = 4, 2


def build(features: int = D, *, scale: float = 1.0, **settings: object) -> Residual:
    torch.manual_seed(0)
    layer = Residual(features, context=C, **settings).double()
    with torch.no_grad():
        for weight in layer.network.raw:
            weight.copy_(scale * torch.randn_like(weight))
    return layer


def inputs(n: int, features: int = D) -> tuple[Tensor, Tensor]:
    return 2 * torch.randn(n, features, dtype=torch.float64), torch.randn(n, C, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (40, 40), (64, 3)])
@pytest.mark.parametrize("size", [1e-20, 1.0, 1e15])
def test_the_norm_of_a_weight_is_bounded_from_above_and_closely(shape: tuple[int, int], size: float) -> None:
    for weight in (torch.randn(shape), torch.eye(*shape)):
        share = spectral_bound(size * weight) / torch.linalg.matrix_norm(size * weight, ord=2)
        assert 1 - 1e-5 < share < 1.005


def test_the_bound_has_its_gradient_and_survives_zeros() -> None:
    assert torch.autograd.gradcheck(spectral_bound, torch.randn(5, 3, dtype=torch.float64, requires_grad=True))
    zero = torch.zeros(3, 2, requires_grad=True)
    bound = spectral_bound(zero)
    (gradient,) = torch.autograd.grad(bound, zero)
    assert bound.item() < 1e-30
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", LIPSCHITZ_ACTIVATIONS)
def test_activations_give_their_slope_which_is_at_most_one(name: str) -> None:
    activation = LIPSCHITZ_ACTIVATIONS[name](3).double()
    with torch.no_grad():
        next(activation.parameters()).copy_(torch.tensor([-1.0, 0.0, 3.0]))
    h = torch.linspace(-30, 30, 20_001, dtype=torch.float64)[:, None].repeat(1, 3).requires_grad_()
    value, slope = activation(h)
    torch.testing.assert_close(slope, torch.autograd.grad(value.sum(), h)[0])
    assert slope.abs().max() <= 1
    assert (slope.abs().amax(dim=0) > 0.99).all()


@pytest.mark.parametrize("activation", LIPSCHITZ_ACTIVATIONS)
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_huge_weights_leave_a_contraction_that_inverts(activation: str, scale: float) -> None:
    layer, (x, c) = build(scale=scale, width=8, activation=activation), inputs(500)
    g = layer.network(x, layer.biases(len(x), c))
    jacobians = g.push(torch.eye(D, dtype=torch.float64)[:, None].expand(D, len(x), D))
    assert torch.linalg.matrix_norm(jacobians.movedim(0, 2), ord=2).max() <= 0.97
    near = x + 1e-3 * torch.randn_like(x)
    moved = (layer.network(near, layer.biases(len(x), c)).value - g.value).norm(dim=1)
    assert (moved <= 0.97 * (near - x).norm(dim=1)).all()
    assert (moved > 0).any()
    z, ladj = layer(x, c)
    back, ladj_back = layer.inverse(z, c)
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ladj_back, -ladj, rtol=1e-7, atol=1e-7)


def test_plain_steps_alone_find_the_same_inverse_within_the_promised_number(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, (z, c) = build(width=8, lipschitz=0.9), inputs(20)
    with torch.no_grad():
        expected, _ = layer.inverse(z, c)
        calls: list[Tensor] = []

        def no_newton(g: object, r: Tensor) -> Tensor:
            calls.append(r)
            return 10 * r  # away from the solution: never taken

        monkeypatch.setattr(residual, "solve", no_newton)
        found, _ = layer.inverse(z, c)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert 10 < len(calls) <= most_steps(0.9, 1e-12)


def test_a_row_is_inverted_alike_in_any_batch() -> None:
    layer, (z, c) = build(width=8), inputs(9)
    z[0] *= 1e3  # a row that takes other steps than the rest
    with torch.no_grad():
        whole, _ = layer.inverse(z, c)
        alone, _ = layer.inverse(z[4:5], c[4:5])
    torch.testing.assert_close(whole[4:5], alone, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("width", [2, 8])
def test_both_forms_of_the_determinant_and_the_solve_are_those_of_the_jacobian(width: int) -> None:
    layer, (x, c) = build(width=width, hidden=3), inputs(6)
    g, r = layer.network(x, layer.biases(len(x), c)), torch.randn_like(x)
    unit = torch.eye(D, dtype=torch.float64)
    full = unit + g.push(unit[:, None].expand(D, 6, D)).movedim(0, 2)
    torch.testing.assert_close(log_det(g), torch.linalg.slogdet(full).logabsdet)
    torch.testing.assert_close(solve(g, r), torch.linalg.solve(full, r))
    torch.testing.assert_close((g.push(r) * x).sum(1), (r * g.pull(x)).sum(1))


@pytest.mark.parametrize("terms", [2, 5])
def test_the_mean_over_all_probes_is_the_series_and_its_gradient(terms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, (x, c) = build(width=8, terms=terms), inputs(3)
    parameters = [p for p in layer.parameters() if p.requires_grad]
    g = layer.network(x, layer.biases(len(x), c))
    unit = torch.eye(D, dtype=torch.float64)
    jacobian = g.push(unit[:, None].expand(D, 3, D)).movedim(0, 2)
    power, series = jacobian, torch.zeros(3, dtype=torch.float64)
    for k in range(1, terms + 1):
        series = series - (-1) ** k / k * power.diagonal(dim1=1, dim2=2).sum(1)
        power = power @ jacobian
    expected = torch.autograd.grad(series.sum(), parameters, allow_unused=True)
    values, gradients = [], []
    for probe in itertools.product([-1.0, 1.0], repeat=D):
        v = torch.tensor(probe, dtype=torch.float64).expand(1, 3, D)
        monkeypatch.setattr(power_series, "signs", lambda rng, draws, like, v=v: v)
        _, ladj = surrogate(layer, x, c, Rng.of(0, 3))
        values.append(ladj.detach())
        gradients.append(torch.autograd.grad(ladj.sum(), parameters, allow_unused=True))
    torch.testing.assert_close(torch.stack(values).mean(0), series.detach())
    for number, gradient in enumerate(expected):
        parts = [each[number] for each in gradients]
        if gradient is None or not gradient.any():
            assert all(part is None or not part.any() for part in parts)
        else:
            torch.testing.assert_close(torch.stack(parts).mean(0), gradient)
    assert (series - log_det(g)).abs().max() <= power_series.bias_bound(D, 0.97, terms)


def test_the_roulette_is_unbiased_with_an_honest_error() -> None:
    layer, (x, c) = build(width=D, lipschitz=0.8), inputs(3)
    with torch.no_grad():
        for number, weight in enumerate(layer.network.raw):  # J close to its bound, where many terms count
            weight.copy_(torch.eye(D, dtype=torch.float64) if number else torch.randn(D, D).double() + 3 * torch.eye(D))
        layer.biases.free.fill_(2.0)
        z, exact = layer(x, c)
        same, draws = estimates(layer, x, c, Rng.of(5, 3), 20_000)
    assert torch.equal(z, same)
    error = draws.std(0) / len(draws) ** 0.5
    assert ((draws.mean(0) - exact) / error).abs().max() < 4
    unit = torch.eye(D, dtype=torch.float64)
    jacobian = layer.network(x, layer.biases(3, c)).push(unit[:, None].expand(D, 3, D)).movedim(0, 2).detach()
    two = sum((-1) ** (k + 1) / k * torch.linalg.matrix_power(jacobian, k).diagonal(0, 1, 2).sum(1) for k in (1, 2))
    assert ((two - exact) / error).abs().max() > 10  # the terms that are always there are not enough: it would show


def test_an_estimated_score_agrees_with_the_exact_one_and_says_what_it_is() -> None:
    torch.manual_seed(0)
    model = ResidualFlow(ResidualFlow.Config(transforms=2, width=8), EventSpec.real(D), ContextSpec()).double()
    x = torch.randn(64, D, dtype=torch.float64)
    with torch.no_grad():
        exact, estimate = model.log_prob(x), model.log_prob(x, rng=Rng.of(1, 64), draws=256)
    assert (exact.kind, estimate.kind) == ("exact", "estimate")
    assert estimate.stderr is not None
    z = (estimate.value - exact.value) / estimate.stderr
    assert z.abs().max() < 4.5
    assert 0.7 < z.std() < 1.3
    assert estimate.protocol["draws"] == 256
    with pytest.raises(UsageError, match="rng"):
        model.log_prob(x, draws=8)


def test_training_on_estimates_is_a_mean_over_events_and_close_to_the_exact_loss() -> None:
    def loss(log_det: str, rows: slice) -> Tensor:
        torch.manual_seed(0)
        config = ResidualFlow.Config(transforms=2, width=8, log_det=log_det, lipschitz=0.8, terms=20)
        model = ResidualFlow(config, EventSpec.real(D), ContextSpec()).double()
        x, rng = torch.randn(2000, D, dtype=torch.float64), Rng.of(3, 2000)
        return model.loss(Batch(x[rows]), "model", rng.rows(rows)).total

    whole = loss("estimate", slice(0, 2000))
    halves = [loss("estimate", part) for part in (slice(0, 1000), slice(1000, 2000))]
    torch.testing.assert_close(whole, (halves[0] + halves[1]) / 2)
    assert whole != loss("exact", slice(0, 2000))
    torch.testing.assert_close(whole, loss("exact", slice(0, 2000)), rtol=0, atol=0.05)


def test_the_default_is_exact_for_few_dimensions_and_estimates_for_many() -> None:
    def layers(features: int) -> list[Residual]:
        flow = ResidualFlow(ResidualFlow.Config(transforms=1), EventSpec.real(features), ContextSpec()).flow
        return [part for part in flow.modules() if isinstance(part, Residual)]

    assert [(part.wants_noise, part.network.lipschitz) for part in layers(32)] == [(False, 0.97)]
    assert [(part.wants_noise, part.network.lipschitz) for part in layers(33)] == [(True, 0.9)]


def test_autocast_does_not_touch_the_determinant() -> None:
    layer, x = Residual(D, width=8), torch.randn(5, D)
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(("key", "value"), [("lipschitz", 1.0), ("lipschitz", 0.0), ("terms", 1), ("log_det", "maybe")])
def test_settings_that_would_not_invert_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        ResidualFlow.Config.parse({key: value})


COMPILED = """
import torch
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.registry import load_class
from headwater.rng import Rng

torch.set_num_threads(1)
for name, settings in (
    ("residual", {"width": 4, "hidden": 1}),
    ("residual", {"width": 8, "hidden": 1, "log_det": "estimate", "terms": 3}),
    ("gaussianization", {"components": 3}),
):
    torch.manual_seed(0)
    cls = load_class(name)
    model = cls(cls.Config(transforms=1, **settings), EventSpec.real(3), ContextSpec(size=2))
    batch, rng = Batch(torch.randn(6, 3), torch.randn(6, 2)), Rng.of(0, 6)
    fast = torch.compile(model.loss, fullgraph=True, backend="aot_eager")(batch, "model", rng).total
    plain = model.loss(batch, "model", rng).total
    torch.testing.assert_close(fast, plain)
    fast.backward()
    assert all(p.grad is not None for p in model.parameters()), name
"""


def test_the_losses_compile_without_a_break() -> None:
    """In a process of its own: the run-time shape checks of the tests are breaks themselves."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
