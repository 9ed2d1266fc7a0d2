"""The model ``nsf``: densities that integrate, contexts that matter, options that are refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from headwater.bijections.permutation import Permutation
from headwater.distributions.normal import StandardNormal
from headwater.distributions.toys import TOYS
from headwater.errors import ConfigError, UnsupportedEventError, UsageError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.flow import Flow
from headwater.models.flows.nsf import NSF, NSFConfig
from headwater.networks.masked_linear import MaskedLinear
from headwater.rng import Rng

SMALL: dict[str, Any] = {"transforms": 2, "width": 16, "blocks": 1, "bins": 5}


def build(features: int, context: int = 0, *, spread: float = 0.2, **settings: Any) -> NSF:
    spec = ContextSpec(size=context)
    model = NSF(NSF.Config.parse(SMALL | settings), EventSpec.real(features), spec).double()
    rng = Rng.of(0, 200)
    x = rng.normal("x", features, dtype=torch.float64)
    c = rng.normal("c", context, dtype=torch.float64) if context else None
    model.initialize(Batch(2 * x + 1, c), rng)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
        for module in model.modules():
            if isinstance(module, MaskedLinear):
                module.weight.mul_(module.mask)
    return model


@pytest.mark.parametrize("context", [0, 2])
def test_a_one_dimensional_flow_integrates_to_one(context: int) -> None:
    model = build(1, context)
    x = torch.linspace(-40, 42, 80_001, dtype=torch.float64)[:, None]
    c = torch.tensor([0.3, -1.0], dtype=torch.float64).expand(len(x), -1) if context else None
    with torch.no_grad():
        p = model.log_prob(x, context=c).value.exp()
    assert torch.trapezoid(p, x[:, 0]).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
def test_a_two_dimensional_flow_integrates_to_one(kind: str) -> None:
    model = build(2, kind=kind)
    axis = torch.arange(-14, 16, 0.1, dtype=torch.float64)
    with torch.no_grad():
        parts = [model.log_prob(x).value.exp().sum() for x in torch.cartesian_prod(axis, axis).split(50_000)]
    assert torch.stack(parts).sum().item() * 0.1**2 == pytest.approx(1, abs=5e-3)


@pytest.mark.parametrize("features", [1, 2, 3])
@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
@pytest.mark.parametrize("embedding", [0, 6])
def test_log_prob_and_samples_depend_on_the_context(features: int, kind: str, embedding: int) -> None:
    model = build(features, 2, kind=kind, embedding=embedding)
    x, rng = torch.randn(4, features, dtype=torch.float64), Rng.of(1, 4)
    a, b = torch.randn(2, 4, 2, dtype=torch.float64)
    assert not torch.allclose(model.log_prob(x, context=a).value, model.log_prob(x, context=b).value)
    assert not torch.allclose(model.sample(4, context=a, rng=rng), model.sample(4, context=b, rng=rng))
    absent = model.log_prob(x, context=torch.zeros(4, 2, dtype=torch.float64)).value
    torch.testing.assert_close(model.log_prob(x).value, absent)


@pytest.mark.parametrize("kind", ["coupling", "autoregressive"])
def test_one_pass_gives_samples_with_their_density_and_gradients(kind: str) -> None:
    model = build(3, kind=kind)
    x, log_p = model.flow.sample_and_log_prob(Rng.of(2, 5), dtype=torch.float64)
    torch.testing.assert_close(model.log_prob(x).value, log_p)
    torch.testing.assert_close(model.sample(5, rng=Rng.of(2, 5)), x.detach())
    (x.square().sum() + log_p.sum()).backward()
    for label, parameter in model.named_parameters():
        assert parameter.grad is not None, label
        assert torch.isfinite(parameter.grad).all(), label
        assert (parameter.grad != 0).any(), label


def test_a_map_known_in_closed_form_gives_the_known_density() -> None:
    flow = Flow(Permutation.reverse(3), StandardNormal(3))
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(dim=1)
    torch.testing.assert_close(flow.log_prob(x), expected)


def test_temperature_narrows_the_samples_and_zero_gives_one_event() -> None:
    model, rng = build(2), Rng.of(3, 64)
    wide, narrow = (model.sample(64, rng=rng, temperature=t).std(0) for t in (1.0, 0.3))
    assert (narrow < wide).all()
    assert model.sample(4, rng=Rng.of(3, 4), temperature=0.0).std(0).max() < 1e-12
    with pytest.raises(ConfigError, match="temperature"):
        model.sample(4, rng=Rng.of(3, 4), temperature=-1)


@pytest.mark.parametrize(
    ("key", "value"),
    [("transforms", 10**9), ("width", 10**9), ("bins", 1), ("bound", 0), ("kind", "maf"), ("embedding", -1)],
)
def test_settings_beyond_their_bounds_are_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        NSF.Config.parse({key: value})


def test_events_that_are_not_real_are_refused_with_advice() -> None:
    with pytest.raises(UnsupportedEventError, match="unbounded reals"):
        NSF(NSF.Config(), EventSpec.pixels(1, 4, 4), ContextSpec())


def test_an_image_keeps_its_shape_and_the_default_stays_small_for_many_dimensions() -> None:
    model = NSF(NSF.Config(), EventSpec.real(1, 28, 28), ContextSpec())
    assert model.sample(2, rng=Rng.of(0, 2)).shape == (2, 1, 28, 28)
    assert sum(p.numel() for p in model.parameters()) < 12_000_000


def test_training_comes_close_to_a_known_entropy() -> None:
    toy, n = TOYS["moons"], 20_000
    x = toy.sample(n, Rng.of(0, n))
    model = NSF(NSF.Config(transforms=2, width=32), EventSpec.real(2), ContextSpec())
    model.initialize(Batch(x[:1000]), Rng.of(0, 1000))
    steps = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(steps, 200)
    for step in range(200):
        rows = torch.arange(256 * step, 256 * (step + 1)) % n
        steps.zero_grad()
        model.loss(Batch(x[rows]), "model", Rng.of(0, 256)).total.backward()
        steps.step()
        schedule.step()
    fresh = toy.sample(5000, Rng.of(1, 5000))
    with torch.no_grad():
        gap = (toy.log_prob(fresh) - model.log_prob(fresh).value).mean().item()
    assert -0.02 < gap < 0.15, f"divergence from the truth {gap:.3f} nats"


COMPILED = """
import torch
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.nsf import NSF, NSFConfig
from headwater.rng import Rng

torch.set_num_threads(1)
for kind in ("coupling", "autoregressive"):
    torch.manual_seed(0)
    settings = {"transforms": 1, "width": 8, "blocks": 1, "bins": 3, "kind": kind}
    model = NSF(NSF.Config(**settings), EventSpec.real(3), ContextSpec(size=2))
    batch, rng = Batch(torch.randn(6, 3), torch.randn(6, 2)), Rng.of(0, 6)
    fast = torch.compile(model.loss, fullgraph=True, backend="aot_eager")(batch, "model", rng).total
    plain = model.loss(batch, "model", rng).total
    torch.testing.assert_close(fast, plain)
    fast.backward()
    assert all(p.grad is not None for p in model.parameters())
"""


def test_the_loss_compiles_without_a_break() -> None:
    """In a process of its own: the run-time shape checks of the tests are breaks themselves."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def test_sampling_compiled_where_no_compiler_is_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.compilers.shutil.which", lambda name: None)
    flow = NSF(NSFConfig(transforms=1, width=8), EventSpec.real(2), ContextSpec())
    with pytest.raises(UsageError, match="no C\\+\\+ compiler"):
        flow.sample(2, rng=Rng.of(0, 2), compile=True)
