"""The model ``tarflow``: one density by every solver, causal over patches, guided, and denoised."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from headwater.bijections.affine import Affine
from headwater.bijections.causal_transformer import TransformerAutoregressive
from headwater.bijections.histogram import adaptive_histogram
from headwater.bijections.marginal import Marginal
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.univariate import Univariate
from headwater.errors import UnsupportedEventError, UsageError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.tarflow import TarFlow
from headwater.rng import Rng
from headwater.testing import LAWS
from headwater.testing.check import supported_cases

SMALL: dict[str, Any] = {"width": 8, "depth": 1, "heads": 2, "inner": 8, "bins": 5, "marginal": 6, "blocks": 2}
LAYOUTS = {  # shape, patch, inner, reach, map
    "odd": ((1, 5, 7), (1, 1), 0, 2, RationalQuadratic(4)),
    "odd, rows": ((1, 5, 7), (1, 7), 8, 1, RationalQuadratic(4)),
    "odd, columns": ((1, 5, 7), (5, 1), 0, 0, Affine()),
    "colour": ((3, 4, 4), (2, 2), 8, 1, RationalQuadratic(4)),
    "colour, affine": ((2, 4, 6), (2, 3), 0, 0, Affine()),
    "vector": ((1, 1, 6), (1, 1), 0, 0, RationalQuadratic(4)),
}
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def block(layout: str, context: int = 2) -> TransformerAutoregressive:
    shape, patch, inner, reach, map_ = LAYOUTS[layout]
    assert isinstance(map_, Univariate)
    net = TransformerAutoregressive(
        map_, shape, patch, context=context, width=8, depth=2, heads=2, reach=reach, inner=inner
    ).double()
    return moved(net, 0.15)


def moved(net: nn.Module, spread: float = 0.3) -> Any:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
        for part in net.modules():
            mask = getattr(part, "mask", None)
            if isinstance(mask, Tensor):
                part.weight.data *= mask
    return net


def flow(event: EventSpec, context: int = 0, **settings: Any) -> TarFlow:
    model = TarFlow(TarFlow.Config.parse(SMALL | settings), event, ContextSpec(size=context))
    return moved(model.double())


def close(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def draw(net: TransformerAutoregressive, n: int = 4) -> tuple[Tensor, Tensor]:
    features = net.reader.tokens * net.reader.elements
    return torch.randn(n, features, dtype=torch.float64), torch.randn(n, 2, dtype=torch.float64)


@layouts
def test_every_solver_undoes_the_forward_pass(layout: str) -> None:
    net = block(layout)
    x, c = draw(net)
    z, ladj = (value.detach() for value in net(x, c))
    dense, sweep = net.inverse_dense(z, c), net.generate(z, c)
    close(dense, (x, -ladj))
    close(sweep, dense)
    close(net.generate(z, c, solver="jacobi"), sweep)
    assert dense[0].requires_grad
    assert not sweep[0].requires_grad


@layouts
def test_a_patch_moves_by_the_patches_before_it_alone(layout: str) -> None:
    net = block(layout)
    x, c = draw(net, 1)
    full = torch.autograd.functional.jacobian(lambda v: net(v, c)[0][0], x)[:, 0]
    order = net.reader.order.flatten()
    sees = full[order][:, order].abs()
    assert torch.equal(sees.triu(1), torch.zeros_like(sees)), "an element sees one after it"
    elements = net.reader.elements
    patches = sees.unfold(0, elements, elements).unfold(1, elements, elements).sum((2, 3))
    assert bool((patches[torch.tril_indices(*patches.shape, -1).unbind()] > 0).all()), "an earlier patch is not seen"
    inside = torch.stack([sees[k : k + elements, k : k + elements].tril(-1) for k in range(0, len(sees), elements)])
    assert bool((inside > 0).any()) == (net.within is not None)


@pytest.mark.parametrize("solver", ["sweep", "jacobi"])
@pytest.mark.parametrize("layout", ["odd, columns", "colour"])
def test_guidance_extrapolates_the_parameters(layout: str, solver: Any) -> None:
    net = block(layout)
    z, c = draw(net)
    free = torch.zeros_like(c)
    close(net.generate(z, c, guidance=0.0, free=free, solver=solver), net.generate(z, free))
    close(net.generate(z, c, guidance=1.0, free=free, solver=solver), net.generate(z, c))
    close(net.generate(z, c, guidance=3.0, free=c, solver=solver), net.generate(z, c))
    guided = net.generate(z, c, guidance=3.0, free=free, solver=solver)
    close(guided, net.generate(z, c, guidance=3.0, free=free))
    assert (guided[0] - net.generate(z, c)[0]).abs().max() > 1e-3


def test_guidance_of_an_affine_map_is_that_of_the_paper() -> None:
    net = TransformerAutoregressive(Affine(1e9), (1, 1, 1), (1, 1), context=2, width=8, depth=1, heads=2).double()
    z, c = torch.randn(4, 1, dtype=torch.float64), torch.eye(2, dtype=torch.float64).repeat(2, 1)
    scales, shifts = [], []
    for given in (c, 0 * c):
        x0, x1 = (net.generate(at * torch.ones_like(z), given)[0] for at in (0.0, 1.0))
        scales.append(-(x1 - x0).log())  # alpha and mu of z = exp(alpha) x + mu
        shifts.append(-x0 * scales[-1].exp())
    alpha, mu = (own + 2.0 * (own - other) for own, other in (scales, shifts))
    x, _ = net.generate(z, c, guidance=3.0, free=0 * c)
    torch.testing.assert_close(x, (z - mu) * torch.exp(-alpha), rtol=1e-6, atol=1e-6)


def test_jacobi_leaves_rows_alone_that_have_arrived() -> None:
    net = block("odd")
    z, c = draw(net, 4)
    together, _ = net.generate(z, c, solver="jacobi", tolerance=1e-2)
    assert (together - net.generate(z, c)[0]).abs().max() < 0.1
    for row in range(4):
        alone, _ = net.generate(z[row : row + 1], c[row : row + 1], solver="jacobi", tolerance=1e-2)
        torch.testing.assert_close(alone[0], together[row], rtol=1e-12, atol=1e-12)


def test_jacobi_needs_fewer_passes_than_there_are_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    net = TransformerAutoregressive(Affine(), (1, 6, 6), (1, 1), width=8, depth=1, heads=2).double()
    passes, read = [], net._read
    monkeypatch.setattr(net, "_read", lambda *given: passes.append(1) or read(*given))
    z = torch.randn(3, 36, dtype=torch.float64)
    x, _ = net.generate(z, solver="jacobi", tolerance=1e-9)
    assert 1 < len(passes) < 36
    torch.testing.assert_close(x, net.generate(z)[0], rtol=0, atol=1e-7)


def test_sampling_leaves_nothing_behind() -> None:
    model = flow(EventSpec.real(1, 4, 4))
    before = {id(part): set(vars(part)) for part in model.modules()}
    names = list(model.state_dict())
    model.sample(3, rng=Rng.of(0, 3))
    assert {id(part): set(vars(part)) for part in model.modules()} == before
    assert list(model.state_dict()) == names


@pytest.mark.parametrize("options", [{"solver": "jacobi", "tolerance": 0.0}, {"guidance": 2.5}, {"temperature": 0.5}])
def test_sampling_options(options: dict[str, Any]) -> None:
    model, c = flow(EventSpec.real(1, 5, 7), 2, embedding=4), torch.eye(2, dtype=torch.float64)
    plain = model.sample(2, context=c, rng=Rng.of(0, 2))
    other = model.sample(2, context=c, rng=Rng.of(0, 2), **options)
    assert other.shape == (2, 1, 5, 7)
    assert torch.allclose(plain, other, rtol=1e-9, atol=1e-9) == ("solver" in options)


def test_guidance_at_one_is_the_model_and_at_zero_ignores_the_label() -> None:
    model, c = flow(EventSpec.real(1, 4, 4), 2, embedding=4), torch.eye(2, dtype=torch.float64)
    ignored = model.sample(2, context=c, rng=Rng.of(0, 2), guidance=0.0)
    torch.testing.assert_close(ignored, model.sample(2, rng=Rng.of(0, 2)), rtol=1e-9, atol=1e-9)


def test_denoising_is_the_posterior_mean_of_a_gaussian() -> None:
    model = TarFlow(TarFlow.Config.parse(SMALL | {"noise": 0.5, "marginal": 0}), EventSpec.real(1, 2, 2), ContextSpec())
    for part in model.flow.bijection.modules():
        if isinstance(part, TransformerAutoregressive):
            for parameter in part.parameters():
                nn.init.zeros_(parameter)  # the identity: p(y) is standard normal, so E[x | y] = (1 - σ²) y
    noisy = model.sample(5, rng=Rng.of(0, 5), denoise=False)
    torch.testing.assert_close(model.sample(5, rng=Rng.of(0, 5)), 0.75 * noisy)


def test_noise_is_added_in_training_and_named_in_the_score() -> None:
    event = EventSpec.real(1, 2, 2)
    plain = flow(event)
    noisy = TarFlow(TarFlow.Config.parse(SMALL | {"noise": 0.3}), event, ContextSpec()).double()
    noisy.load_state_dict(plain.state_dict())
    x, rng = torch.randn(6, 1, 2, 2, dtype=torch.float64), Rng.of(0, 6)
    y = x + 0.3 * rng.normal("noise", 4, dtype=torch.float64).reshape(x.shape)
    assert torch.equal(noisy.loss(Batch(x), "model", rng).total, plain.loss(Batch(y), "model", rng).total)
    score = noisy.log_prob(x)
    assert torch.equal(score.value, plain.log_prob(x).value)
    assert score.protocol == {"density": "of events with noise of standard deviation 0.3"}
    assert not plain.log_prob(x).protocol


@pytest.mark.parametrize("law", LAWS)
def test_laws_hold_on_pictures(law: str) -> None:
    for case in supported_cases(TarFlow, SMALL):
        if case.name == "image":
            LAWS[law](case)


def test_a_marginal_opens_the_peak_that_the_data_have() -> None:
    x = torch.cat([-2.9 + 0.05 * torch.rand(900, 2), 3 * torch.rand(100, 2)]).double()
    layer = Marginal(2, 2).double()
    layer.fit(x)
    z, ladj = layer(x)
    assert z[:900].std() > 10 * x[:900].std()
    assert ladj[:900].mean() > 2 * 2.0
    torch.testing.assert_close(layer.inverse(z)[0], x, rtol=1e-9, atol=1e-9)
    assert bool((layer.theta[0] != layer.theta[1]).any())


@pytest.mark.parametrize("data", [torch.zeros(50, 3), torch.randn(50, 3), 1e6 * torch.randn(50, 3)])
def test_a_marginal_takes_any_data(data: Tensor) -> None:
    layer = Marginal(3)
    layer.fit(data)
    z, ladj = layer(data)
    assert torch.isfinite(z).all()
    assert torch.isfinite(ladj).all()
    torch.testing.assert_close(layer.inverse(z)[0], data, rtol=1e-5, atol=1e-4)


def test_a_histogram_keeps_mass_and_width_and_finds_the_step() -> None:
    cells = np.concatenate([np.full(37, 100.0), np.full(63, 1.0)])
    mass, width = adaptive_histogram(cells, np.full(100, 0.01), 4, 0.02)
    assert len(mass) == len(width) == 4
    assert mass.sum() == pytest.approx(cells.sum())
    assert width.sum() == pytest.approx(1)
    assert np.abs(np.cumsum(width) - 0.37).min() < 1e-9
    assert width.min() >= 0.02 - 1e-9


def test_what_does_not_fit_is_refused() -> None:
    picture = EventSpec.real(1, 5, 7)
    with pytest.raises(UsageError, match="patch of 2 x 2"):
        flow(picture, patch=(2, 2))
    with pytest.raises(UsageError, match="heads"):
        flow(picture, heads=3)
    with pytest.raises(UnsupportedEventError):
        flow(EventSpec.pixels(1, 4, 4))
    with pytest.raises(UsageError, match="without one"):
        flow(picture).sample(2, rng=Rng.of(0, 2), guidance=2.0)
    with pytest.raises(UsageError, match="no noise"):
        flow(picture).sample(2, rng=Rng.of(0, 2), denoise=True)


def test_the_affine_flow_of_the_paper_is_several_blocks() -> None:
    model = flow(EventSpec.real(3, 4, 4), map="affine", inner=0, blocks=None, noise=0.1)
    assert sum(isinstance(part, TransformerAutoregressive) for part in model.flow.bijection.modules()) == 8
    total = model.loss(Batch(torch.randn(4, 3, 4, 4, dtype=torch.float64)), "model", Rng.of(0, 4)).total
    gradients = torch.autograd.grad(total, list(model.parameters()))
    assert all(bool((gradient != 0).any()) for gradient in gradients)


def test_it_learns_that_rows_repeat() -> None:
    model = TarFlow(TarFlow.Config.parse(SMALL | {"width": 16, "blocks": 1}), EventSpec.real(1, 2, 4), ContextSpec())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(60):
        rng = Rng.of(step, 128)
        row = rng.normal("row", 1, 1, 4)
        batch = Batch(torch.cat([row, row + 0.1 * rng.normal("rest", 1, 1, 4)], dim=2))
        if step == 0:
            model.initialize(batch, rng)
        total = model.loss(batch, "model", rng).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert total.item() < 1.1  # independent elements: 1.42; the truth: 0.27
    x = model.sample(200, rng=Rng.of(0, 200))
    assert (x[:, :, 0] - x[:, :, 1]).abs().mean() < 0.6  # independent elements: 1.13


COMPILED = """
import torch
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.tarflow import TarFlow
from headwater.rng import Rng

torch.set_num_threads(1)
config = TarFlow.Config(width=8, depth=1, heads=2, inner=8, bins=4, marginal=4, blocks=1, noise=0.1)
model = TarFlow(config, EventSpec.real(1, 4, 6), ContextSpec(size=2))
batch, rng = Batch(torch.randn(8, 1, 4, 6), torch.rand(8, 2)), Rng.of(0, 8)
fast = torch.compile(model.loss, fullgraph=True, backend="aot_eager")(batch, "model", rng).total
torch.testing.assert_close(fast, model.loss(batch, "model", rng).total)
fast.backward()
assert all(p.grad is not None for p in model.parameters())
"""


def test_the_loss_compiles_without_a_break() -> None:
    """In a process of its own: the run-time shape checks of the tests are breaks themselves."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
