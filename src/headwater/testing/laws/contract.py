"""Laws of what a model keeps to whatever it is: its context, its state, its precision, its codes, its name."""

from __future__ import annotations

import torch

from headwater.events import Support
from headwater.models.base import Density, Invertible, Latent
from headwater.rng import Rng
from headwater.testing.cases import Case
from headwater.testing.laws.scoring import log_prob

__all__ = [
    "codes_have_one_shape",
    "context_matters",
    "float32_agrees_with_float64",
    "noise_and_events_correspond",
    "representation_names_the_model",
    "saving_and_loading_changes_nothing",
]


def context_matters(case: Case) -> None:
    """Another label gives other samples or another density."""
    if not case.context.size:
        return
    model, n = case.build(), 24
    batch, rng = case.batch(n), Rng.of(5, n)
    assert batch.context is not None
    other = batch.context.roll(1, dims=1)
    with torch.no_grad():
        first = model.sample(n, context=batch.context, rng=rng)
        second = model.sample(n, context=other, rng=rng)
    if isinstance(model, Density):
        a = log_prob(model, batch.x, batch.context, rng).value
        b = log_prob(model, batch.x, other, rng).value
        assert not torch.allclose(a, b, atol=1e-8), "log_prob ignores its context"
    assert not torch.equal(first, second), "sample ignores its context"


def saving_and_loading_changes_nothing(case: Case) -> None:
    """A fresh model with the saved state gives the same bytes."""
    model = case.build()
    torch.manual_seed(1)
    other = case.cls(case.cls.Config.parse(case.settings, where="model"), case.event, case.context).double().eval()
    other.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    n = 5
    batch, rng = case.batch(n), Rng.of(5, n)
    with torch.no_grad():
        a = model.sample(n, context=batch.context, rng=rng)
        b = other.sample(n, context=batch.context, rng=rng)
    assert torch.equal(a, b), "samples differ after loading"
    if isinstance(model, Density):
        first = log_prob(model, batch.x, batch.context, rng).value
        assert torch.equal(first, log_prob(other, batch.x, batch.context, rng).value), "scores differ after loading"


def float32_agrees_with_float64(case: Case) -> None:
    """Scores in single precision are those of double precision to single precision's accuracy."""
    model = case.build()
    single = case.build().float()
    n = 6
    batch, rng = case.batch(n), Rng.of(5, n)
    context = None if batch.context is None else batch.context.float()
    with torch.no_grad():
        samples = single.sample(n, context=context, rng=rng)
    assert samples.dtype == torch.float32, f"a float32 model sampled {samples.dtype}"
    if isinstance(model, Density):
        double = log_prob(model, batch.x, batch.context, rng)
        narrow = log_prob(single, batch.x.float(), context, rng).value
        assert narrow.dtype == torch.float32, f"a float32 model scored in {narrow.dtype}"
        slack = 2e-3 if double.kind == "exact" else 5e-2
        gap = (double.value - narrow.double()).abs().max().item()
        assert gap <= slack * (1 + double.value.abs().max().item()), f"float32 is off by {gap:.2g} nats"


def noise_and_events_correspond(case: Case) -> None:
    """``from_noise`` undoes ``to_noise``."""
    if not issubclass(case.cls, Invertible):
        return
    model, n = case.build(), 6
    assert isinstance(model, Invertible)
    batch = case.batch(n)
    with torch.no_grad():
        z = model.to_noise(batch.x, context=batch.context)
        x = model.from_noise(z, context=batch.context)
    assert z.shape[0] == n, "one noise per event"
    error = (x - batch.x).abs().max().item()
    assert error < 1e-3, f"round trip off by {error:.2g}"


def codes_have_one_shape(case: Case) -> None:
    """``encode`` gives a vector per event and ``decode`` gives events back."""
    if not issubclass(case.cls, Latent):
        return
    model, n = case.build(), 6
    assert isinstance(model, Latent)
    batch = case.batch(n)
    with torch.no_grad():
        z = model.encode(batch.x, context=batch.context)
        x = model.decode(z, context=batch.context)
    assert z.ndim == 2, f"codes have shape {tuple(z.shape)}, expected (batch, latent)"
    assert x.shape == batch.x.shape, f"decoded {tuple(x.shape)}, expected {tuple(batch.x.shape)}"
    for place, segment in case.event.slices():
        values = x.reshape(n, -1)[:, place]
        if segment.support in (Support.BINARY, Support.CATEGORICAL):
            assert (values == values.round()).all(), f"{segment.name}: decoded codes are not whole"


def representation_names_the_model(case: Case) -> None:
    """``repr`` shows the class and its parts."""
    assert case.cls.__name__ in repr(case.build())
