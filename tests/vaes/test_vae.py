"""The model's own laws: shapes, rows that do not see each other, context, memory, options, learning."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from sklearn.datasets import load_digits

from headwater.errors import ConfigError, UsageError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch, Density, Latent
from headwater.models.registry import load_class
from headwater.models.vaes import vae
from headwater.models.vaes.vae import VAE, VAEConfig
from headwater.rng import Rng

TABLE = EventSpec(
    shape=(5,),
    segments=(
        Segment(size=2),
        Segment(support=Support.CATEGORICAL, classes=3),
        Segment(support=Support.INTEGER, low=-2, high=3),
        Segment(support=Support.BINARY),
    ),
)
EVENTS = (EventSpec.real(2), TABLE, EventSpec.pixels(1, 4, 4), EventSpec.pixels(3, 9, 5, levels=9))
RICH = {"prior": "mixture", "components": 3, "conditional_prior": True, "real": "gaussian", "free_bits": 0.1}


def _model(event: EventSpec, labels: int = 3, **settings: object) -> VAE:
    """A small model away from its start, where zero-initialized parts hide faults; convolutional where it can be."""
    if event.is_image and min(event.shape[1:]) >= 4:
        settings = {"network": "conv", **settings}
    model = VAE(VAEConfig(width=8, **settings), event, ContextSpec(size=labels))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def _labels(n: int) -> torch.Tensor:
    return torch.eye(3)[torch.arange(n) % 3]


def test_the_registry_knows_it_and_what_it_can_do() -> None:
    assert load_class("vae") is VAE
    assert issubclass(VAE, Density)
    assert issubclass(VAE, Latent)


@pytest.mark.parametrize("event", EVENTS, ids=repr)
@pytest.mark.parametrize("settings", [{}, RICH], ids=["plain", "rich"])
def test_every_parameter_learns_and_every_output_has_its_shape(event: EventSpec, settings: dict) -> None:
    model, c, rng = _model(event, **settings), _labels(6), Rng.of(0, 6)
    x = model.sample(6, context=c, rng=rng)
    assert x.shape == (6, *event.shape)
    losses = model.loss(Batch(x, c, torch.tensor(0.05)), "vae", rng)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name
    z = model.encode(x, context=c)
    assert z.shape == (6, model.latent)
    assert model.decode(z, context=c).shape == x.shape
    assert model.reconstruct(x, context=c).shape == x.shape
    double = model.double().log_prob(x.double(), context=c.double(), rng=rng, draws=2)
    assert double.value.dtype == torch.float64


@pytest.mark.parametrize("shape", [(1, 28, 20), (1, 5, 7), (2, 17, 4), (3, 16, 16), (1, 3, 6)])
def test_pictures_of_any_size(shape: tuple[int, int, int]) -> None:
    event = EventSpec.pixels(*shape)
    model = _model(event, labels=0, mixtures=2)
    x = model.sample(2, rng=Rng.of(0, 2))
    assert x.shape == (2, *shape)
    assert torch.isfinite(model.log_prob(x, rng=Rng.of(0, 2), draws=2).value).all()


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_rows_do_not_see_each_other(event: EventSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    model, c, rng, few = _model(event), _labels(7), Rng.of(3, 7), torch.tensor([5, 2])
    x = model.sample(7, context=c, rng=rng)
    part = model.sample(2, context=c[few], rng=rng.rows(few))
    torch.testing.assert_close(part, x[few])
    score = model.log_prob(x, context=c, rng=rng, draws=9)
    monkeypatch.setattr(vae, "_NUMBERS_AT_ONCE", 1)  # one decoded row at a time
    alone = model.log_prob(x[few], context=c[few], rng=rng.rows(few), draws=9)
    torch.testing.assert_close(alone.value, score.value[few], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"conditional_prior": True}, {"prior": "mixture", "conditional_prior": True}])
def test_the_context_matters_and_zeros_mean_absent(settings: dict) -> None:
    model, rng = _model(EventSpec.real(2), **settings), Rng.of(0, 8)
    x = model.sample(8, context=_labels(8), rng=rng)
    with_label = model.log_prob(x, context=_labels(8), rng=rng).value
    other = model.log_prob(x, context=_labels(8).roll(1, 1), rng=rng).value
    assert not torch.allclose(with_label, other)
    absent = model.log_prob(x, context=torch.zeros(8, 3), rng=rng).value
    torch.testing.assert_close(model.log_prob(x, rng=rng).value, absent)


def test_a_score_says_what_it_is_and_needs_numbers_to_draw_with() -> None:
    model = _model(EventSpec.real(2), labels=0)
    score = model.log_prob(torch.zeros(3, 2), rng=Rng.of(0, 3), draws=5)
    assert (score.kind, score.protocol["draws"]) == ("lower bound", 5)
    assert not score.value.requires_grad
    with pytest.raises(UsageError, match="draws codes"):
        model.log_prob(torch.zeros(3, 2))
    with pytest.raises(ConfigError, match="draw"):
        model.log_prob(torch.zeros(3, 2), rng=Rng.of(0, 3), draw=5)


def test_more_draws_contain_the_fewer() -> None:
    """So K draws weigh at least as much as the first k of them: ``K exp(bound_K) >= k exp(bound_k)``, always."""
    model, rng = _model(TABLE, labels=0), Rng.of(0, 50)
    x = model.sample(50, rng=rng)
    sums = [model.log_prob(x, rng=rng, draws=k).value + math.log(k) for k in (1, 2, 8, 64, 512)]
    for fewer, more in pairwise(sums):
        assert (more >= fewer - 1e-5).all()


def test_free_bits_and_warmup_change_the_loss_as_they_say() -> None:
    x, rng = torch.randn(16, 2), Rng.of(0, 16)
    model = _model(EventSpec.real(2), labels=0, free_bits=50.0, warmup=0.5)
    losses = model.loss(Batch(x, None, torch.tensor(0.25)), "vae", rng)
    expected = 0.5 * 50.0 * model.latent - losses.terms["reconstruction"]
    torch.testing.assert_close(losses.total, expected)
    torch.testing.assert_close(losses.terms["nelbo"], losses.terms["kl"] - losses.terms["reconstruction"])


def test_absurd_events_and_weights_give_finite_losses() -> None:
    model = _model(EventSpec.real(2), labels=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(30)
    x = torch.tensor([[1e6, -1e6], [0.0, 0.0]])
    losses = model.loss(Batch(x, None, torch.ones(())), "vae", Rng.of(0, 2))
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_sampling_options() -> None:
    model, rng = _model(TABLE, labels=0), Rng.of(0, 40)
    plain, still = (model.sample(40, rng=rng, noise=noise) for noise in (True, False))
    assert not torch.equal(plain, still)
    centre = model.sample(40, rng=rng, latent_temperature=0.0, noise=False)
    assert torch.equal(centre, centre[:1].expand(40, -1))
    with pytest.raises(ConfigError):
        model.sample(2, rng=Rng.of(0, 2), temperature=0.0)


def test_convolutions_are_refused_for_tables() -> None:
    with pytest.raises(UsageError, match=r"(?s)pictures.*network='mlp'"):
        VAE(VAEConfig(network="conv"), TABLE, ContextSpec())


def test_only_large_pictures_convolve_unasked() -> None:
    for event, convolves in ((EventSpec.pixels(1, 28, 28), False), (EventSpec.pixels(3, 32, 32), True)):
        model = VAE(VAEConfig(width=8), event, ContextSpec())
        assert any(isinstance(module, torch.nn.Conv2d) for module in model.modules()) == convolves


def test_dense_networks_take_pictures_too() -> None:
    model = _model(EventSpec.pixels(3, 4, 5), labels=0, network="mlp")
    x = model.sample(2, rng=Rng.of(0, 2))
    assert torch.isfinite(model.log_prob(x, rng=Rng.of(0, 2)).value).all()


def test_weights_travel() -> None:
    model, again = _model(TABLE), _model(TABLE)
    again.load_state_dict(model.state_dict())
    x, rng = model.sample(5, context=_labels(5), rng=Rng.of(1, 5)), Rng.of(0, 5)
    assert torch.equal(again.log_prob(x, rng=rng).value, model.log_prob(x, rng=rng).value)


def test_it_compiles_without_a_break() -> None:
    """In a process of its own: the shape checks of the tests cannot be traced."""
    code = """
import torch
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.vaes.vae import VAE, VAEConfig
from headwater.rng import Rng
picture = EventSpec.pixels(2, 9, 10)
for event, network in ((EventSpec.real(3), "auto"), (picture, "mlp"), (picture, "conv")):
    model = VAE(VAEConfig(width=8, network=network, prior="mixture", free_bits=0.1), event, ContextSpec(size=2))
    x, c = model.sample(4, rng=Rng.of(0, 4)), torch.eye(2)[[0, 1, 0, 1]]
    loss = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
    ours, plain = (f(Batch(x, c, torch.tensor(0.05)), "vae", Rng.of(0, 4)).total for f in (loss, model.loss))
    torch.testing.assert_close(ours, plain)
    ours.backward()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_digits_are_learned() -> None:
    """Four hundred steps of a small network beat independent pixels on held-out digits by a wide margin."""
    pixels = torch.tensor(load_digits().images, dtype=torch.float32)[:, None]
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    train, held_out = pixels[order[:1400]], pixels[order[1400:]]
    model = VAE(VAEConfig(network="mlp", width=64, mixtures=3), EventSpec.pixels(1, 8, 8, levels=17), ContextSpec())
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for step in range(400):
        index = torch.randint(len(train), (100,), generator=torch.Generator().manual_seed(step))
        batch = Batch(train[index], None, torch.tensor(step / 400))
        optimizer.zero_grad()
        model.loss(batch, "vae", Rng.of(1, 100).fold(step)).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    bound = float(model.log_prob(held_out, rng=Rng.of(0, len(held_out)), draws=16).value.mean())
    counts = torch.stack([(train == value).double().mean(0) for value in range(17)])
    smooth = (counts * len(train) + 0.2) / (len(train) + 17 * 0.2)
    independent = float(
        smooth.log().gather(0, held_out[:, 0].flatten(1)[:, None].reshape(-1, 1, 8, 8).long()).sum((1, 2, 3)).mean()
    )
    assert bound > independent + 10
