"""The Bayesian VAE: EVE's loss by hand, gaps, comparison with common noise, options, learning."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch.nn import functional

from headwater.errors import ConfigError, UnsupportedEventError, UsageError
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch, Comparing, Density, Latent
from headwater.models.vaes import bayesian
from headwater.models.vaes.bayesian import BayesianVAE
from headwater.models.vaes.bayesian_options import BayesianVAEConfig
from headwater.models.vaes.paired import RunningMean
from headwater.rng import Rng

SMALL = {"encoder": (16,), "latent": 3, "decoder": (8, 12), "convolution": 4}
OPTIONS = (
    {},
    {"sparsity": True},
    {"bayesian": False},
    {"sparsity": True, "bayesian": False, "final": "sigmoid"},
    {"convolution": None, "temperature": False, "final": "sigmoid", "likelihood": "eve", "variance_rate": 5.0},
)
GAP = 4


def _event(sites: int = 6, *, missing: bool = True) -> EventSpec:
    residue = Segment(support=Support.CATEGORICAL, size=sites, classes=GAP + 1, missing=missing)
    return EventSpec(shape=(sites,), segments=(residue,))


def _model(event: EventSpec | None = None, labels: int = 0, **settings: object) -> BayesianVAE:
    """A small model away from its start, its weights spread out enough to matter."""
    config = BayesianVAEConfig(**{**SMALL, "log_variance": -3.0, **settings})  # type: ignore[arg-type]
    model = BayesianVAE(config, event or _event(), ContextSpec(size=labels))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def _events(n: int, sites: int = 6) -> torch.Tensor:
    return (Rng.of(8, n).uniform("x", sites) * (GAP + 1)).floor()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_parameter_learns_and_every_output_has_its_shape(options: dict) -> None:
    model, x, rng = _model(labels=2, **options).train(), _events(40), Rng.of(0, 40)
    assert isinstance(model, Density)
    assert isinstance(model, Comparing)
    assert isinstance(model, Latent)
    c = torch.eye(2)[torch.arange(40) % 2]
    losses = model.loss(Batch(x, c), "vae", rng)
    losses.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name
    drawn = model.eval().sample(40, context=c, rng=rng)
    assert drawn.shape == x.shape
    assert drawn.max() < GAP
    assert model.decode(model.encode(x, context=c), context=c).shape == x.shape
    assert torch.isfinite(model.log_prob(x, context=c, rng=rng, draws=3).value).all()


def test_eve_likelihood_is_binary_cross_entropy_of_log_probabilities() -> None:
    """Over all sites and classes; a gap's classes are all absent, and still cost something."""
    model, x = _model(likelihood="eve"), _events(20)
    logits = torch.randn(20, 6, GAP)
    one_hot = torch.zeros(20, 6, GAP)
    for row in range(20):
        for site in range(6):
            if x[row, site] < GAP:
                one_hot[row, site, int(x[row, site])] = 1
    log_p = torch.log_softmax(logits, dim=2)
    by_hand = functional.binary_cross_entropy_with_logits(log_p, one_hot, reduction="none").sum(dim=(1, 2))
    torch.testing.assert_close(-model.log_likelihood(logits, x), by_hand, atol=1e-5, rtol=1e-5)
    gaps = torch.full((1, 6), float(GAP))
    assert float(-model.log_likelihood(logits[:1], gaps)) == pytest.approx(float(torch.log1p(log_p[0].exp()).sum()))
    assert float(_model().log_likelihood(logits[:1], gaps)) == 0


def test_the_loss_is_eves_by_hand_on_equal_weights() -> None:
    """Reconstruction, ``KL_z`` and ``KL_W / N`` from draws of code and weights that are made here."""
    model = _model(likelihood="eve", bayesian=False, kl_latent=0.7)
    model.rows.fill_(11.0)
    x, rng = _events(9), Rng.of(3, 9)
    one_hot = functional.one_hot(x.long(), GAP + 1)[:, :, :GAP].float()
    h = one_hot.flatten(1)
    first, last = model.encoder
    mean, log_variance = (torch.relu(h @ first.weight.T + first.bias) @ last.weight.T + last.bias).chunk(2, dim=1)
    z = mean + torch.exp(0.5 * log_variance) * rng.normal("code", 3)
    d = model.decoder
    for layer in d.layers:
        z = torch.relu(z @ layer.mean + layer.bias.mean)
    u = torch.einsum("bh,hlk,kc->blc", z, d.outward.mean.reshape(12, 6, 4), d.dictionary.mean)
    logits = u * functional.softplus(d.temperature.mean) + d.bias.mean
    log_p = torch.log_softmax(logits, dim=2)
    cross = functional.binary_cross_entropy_with_logits(log_p, one_hot, reduction="sum") / 9
    kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum() / 9
    torch.testing.assert_close(model.loss(Batch(x), "vae", rng).total, cross + 0.7 * kl, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_weights_count_once_for_all_training_events(options: dict) -> None:
    model, x, rng = _model(**options, kl_weight=2.0, warmup=0.5), _events(30), Rng.of(0, 30)
    model.initialize(Batch(x, rows=7.5), rng)
    assert float(model.rows) == 7.5
    losses = model.loss(Batch(x, None, torch.ones(())), "vae", rng)
    early = model.loss(Batch(x, None, torch.tensor(0.1)), "vae", rng)  # the factor still rises
    tensors = [m for m in model.decoder.modules() if hasattr(m, "divergence")]
    weights = sum(m.divergence() for m in tensors if m.spread is not None)
    share = torch.as_tensor(weights / 7.5, dtype=torch.float32)
    torch.testing.assert_close(losses.terms["kl_weights"], share, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(losses.total, losses.terms["nelbo"] + 2 * share, atol=1e-4, rtol=1e-5)
    rising = min(1.0, 0.1 / model.config.warmup)
    torch.testing.assert_close(early.total, early.terms["nelbo"] + 2 * rising * share, atol=1e-4, rtol=1e-5)


def test_biases_start_at_the_sites_own_logits() -> None:
    x = torch.zeros(200, 6)
    x[:, 1], x[:60, 2], x[:, 3] = 2, 1, GAP
    model = BayesianVAE(BayesianVAEConfig(**SMALL), _event(), ContextSpec())  # type: ignore[arg-type]
    model.initialize(Batch(x, rows=200.0), Rng.of(0, 200))
    p = torch.softmax(model.decoder.bias.mean, dim=1).detach()
    assert p[0, 0] > 0.9
    assert p[1, 2] > 0.9
    assert float(p[2, 1]) == pytest.approx(0.3, abs=0.05)
    assert p[3].max() < 0.95
    torch.testing.assert_close(model.decoder.bias.centre, model.decoder.bias.mean.detach())


def test_missing_elements_contribute_nothing() -> None:
    model, x = _model(), _events(10)
    x[:, 2] = GAP
    logits = torch.randn(10, 6, GAP)
    other = logits.clone()
    other[:, 2] += 5 * torch.randn(10, GAP)
    torch.testing.assert_close(model.log_likelihood(logits, x), model.log_likelihood(other, x))
    assert float(model.one_hot.features(x)[:, 2].abs().sum()) == 0
    with torch.no_grad():
        for parameter in model.encoder[-1].parameters():  # now q(z | x) is the prior, and every draw weighs p(x | z, W)
            parameter.zero_()
    empty = torch.full((3, 6), float(GAP))
    torch.testing.assert_close(model.log_prob(empty, rng=Rng.of(0, 3), draws=9).value, torch.zeros(3))
    x[:, :2] = GAP
    few = torch.softmax(torch.randn(10, 3, GAP), dim=2).log()
    logits[:, 3:] = few
    expected = (few * model.one_hot.features(x)[:, 3:]).sum(dim=(1, 2))
    torch.testing.assert_close(model.log_likelihood(logits, x), expected)


def test_the_ratio_agrees_with_bounds_of_each_event() -> None:
    model, x = _model(), _events(4)
    n = 20_000
    ours = model.log_ratio(x, x[0], rng=Rng.of(0, 1), draws=1000)
    assert ours.kind == "estimate"
    assert ours.stderr is not None
    assert float(ours.value[0]) == 0
    with torch.no_grad():
        bounds = [model.loss(Batch(row.expand(n, 6)), "vae", Rng.of(1, n)).terms["nelbo"] for row in x]
    expected = torch.stack([bounds[0] - bound for bound in bounds])
    assert ((ours.value - expected).abs() < 4 * ours.stderr + 0.05).all()


def test_common_noise_lowers_the_variance() -> None:
    model = _model(latent=2)
    x = _events(1).expand(6, 6).clone()
    x[:, 3] = torch.tensor([0.0, 1, 2, 3, GAP, 0])
    x[5, 0] = 1
    draws = 400
    paired = model.log_ratio(x[1:], x[0], rng=Rng.of(0, 1), draws=draws).stderr
    assert paired is not None
    with torch.no_grad():
        own = []
        for row in x:
            mean, log_scale = model.posterior(row[None], None)
            rng = Rng.of(2, draws)
            z = mean + log_scale.exp() * rng.normal("code", 2)
            logits, _ = model.decoder(z, rng.fold("decoder"), divergence=False)
            own.append(model.log_likelihood(logits, row.expand(draws, 6)).var() / draws)
    alone = torch.stack([(v + own[0]).sqrt() for v in own[1:]])
    assert (paired < alone).all()
    assert paired.mean() < 0.6 * alone.mean()


def test_the_ratio_does_not_depend_on_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = _model(), _events(7)
    whole = model.log_ratio(x, x[2], rng=Rng.of(0, 1), draws=5)
    monkeypatch.setattr(bayesian, "_NUMBERS_AT_ONCE", 1)
    parts = model.log_ratio(x, x[2], rng=Rng.of(0, 1), draws=5)
    torch.testing.assert_close(whole.value, parts.value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(whole.stderr, parts.stderr, atol=1e-5, rtol=1e-4)
    assert torch.isinf(torch.as_tensor(model.log_ratio(x, x[2], rng=Rng.of(0, 1)).stderr)).all()


def test_running_means_are_means() -> None:
    values = torch.randn(30, 4, dtype=torch.float64) + 1e3
    running = RunningMean(torch.zeros(4, dtype=torch.float64))
    for value in values:
        running.add(value)
    torch.testing.assert_close(running.mean, values.mean(dim=0))
    torch.testing.assert_close(running.stderr, values.std(dim=0) / math.sqrt(30))


def test_dropout_acts_in_training_alone() -> None:
    model, x, rng = _model(dropout=0.5, bayesian=False), _events(20), Rng.of(0, 20)
    with torch.no_grad():
        still = model.loss(Batch(x), "vae", rng).total
        assert model.train().loss(Batch(x), "vae", rng).total != still
        model.decoder.dropout = 0.0
        torch.testing.assert_close(model.loss(Batch(x), "vae", rng).total, still)


def test_it_says_what_it_cannot_do() -> None:
    model, x = _model(), _events(3)
    with pytest.raises(UnsupportedEventError, match="bayesian-vae"):
        BayesianVAE(BayesianVAEConfig(), EventSpec.real(3), ContextSpec())
    with pytest.raises(UsageError, match="draws codes and weights"):
        model.log_prob(x)
    for rng in (None, Rng.of(0, 3)):
        with pytest.raises(UsageError, match="share"):
            model.log_ratio(x, x[0], rng=rng)
    with pytest.raises(ConfigError, match="multiple of 4"):
        BayesianVAEConfig.parse({"sparsity": True, "decoder": (8, 13)}, where="model")


def test_sites_of_different_classes() -> None:
    binary = Segment(support=Support.BINARY, size=2)
    event = EventSpec(shape=(3,), segments=(binary, Segment(support=Support.CATEGORICAL, classes=5)))
    for options in OPTIONS:
        model = _model(event, **options)
        drawn = model.sample(300, rng=Rng.of(0, 300))
        assert drawn[:, :2].max() == 1
        assert drawn[:, 2].max() == 4
        losses = model.loss(Batch(drawn), "vae", Rng.of(1, 300))
        losses.total.backward()
        assert torch.isfinite(losses.total)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_it_compiles_without_a_break() -> None:
    """In a process of its own: the shape checks of the tests cannot be traced."""
    code = """
import torch
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.vaes.bayesian import BayesianVAE
from headwater.models.vaes.bayesian_options import BayesianVAEConfig
from headwater.rng import Rng
from headwater.training.precision import products
event = EventSpec(shape=(6,), segments=(Segment(support=Support.CATEGORICAL, size=6, classes=5, missing=True),))
x, rng = torch.arange(24.0).reshape(4, 6) % 5, Rng.of(0, 4)
small = dict(encoder=(16,), latent=3, decoder=(8, 12), convolution=4)
for more in ({}, {"sparsity": True}, {"bayesian": False}, {"convolution": None, "likelihood": "eve"}):
    model = BayesianVAE(BayesianVAEConfig(**{**small, **more}), event, ContextSpec(size=2))
    loss = torch.compile(model.loss, fullgraph=True, backend="aot_eager")
    for precision in ("float32", "reduced"):
        with products(precision):
            found = [f(Batch(x, torch.eye(2)[[0, 1, 0, 1]]), "vae", rng).total for f in (loss, model.loss)]
            ours, plain = (torch.autograd.grad(total, tuple(model.parameters())) for total in found)
        torch.testing.assert_close(*found)
        torch.testing.assert_close(ours, plain)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_pairs_of_sites_are_learned() -> None:
    """Four pairs of equal letters: the model finds them where sites on their own cannot, and says so by its ratio."""
    half = (Rng.of(1, 2000).uniform("x", 4) * GAP).floor()
    x = torch.cat([half, half], dim=1)
    model = BayesianVAE(
        BayesianVAEConfig(encoder=(64,), latent=8, decoder=(32, 64), convolution=8, dropout=0.0),
        _event(8),
        ContextSpec(),
    )
    model.initialize(Batch(x, rows=2000.0), Rng.of(0, 2000))
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    for step in range(400):
        index = torch.randint(2000, (100,), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model.loss(Batch(x[index]), "vae", Rng.of(1, 100).fold(step)).total.backward()
        optimizer.step()
    model.eval()
    bound = model.log_prob(x[:200], rng=Rng.of(0, 200), draws=64).value.mean()
    assert bound > -8 * math.log(4) + 3
    broken = x[:50].clone()
    broken[:, 0] = (broken[:, 0] + 1) % GAP
    worse = [model.log_ratio(b[None], a, rng=Rng.of(0, 1), draws=8).value for a, b in zip(x[:50], broken, strict=True)]
    assert torch.cat(worse).mean() < -1
