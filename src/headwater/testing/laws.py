"""The laws: what every registered model must obey, each a function of a case that asserts.

B events, D elements. All laws run in float64 unless they are about float32.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from headwater.events import Segment, Support
from headwater.models.base import Batch, ClosedForm, Density, GenerativeModel, Invertible, Latent
from headwater.rng import Rng
from headwater.scores import Score
from headwater.testing.cases import Case
from headwater.testing.cells import CELLS

__all__ = ["LAWS"]

_ROUND_OFF = 1e-6


def _log_prob(model: GenerativeModel, x: Tensor, context: Tensor | None, rng: Rng) -> Score:
    assert isinstance(model, Density)
    with torch.no_grad():
        return model.log_prob(x, context=context, rng=rng)


def loss_is_a_finite_scalar(case: Case) -> None:
    """The total and every named term are finite scalars; the monitored term exists."""
    model = case.build()
    for number, player in enumerate(model.players()):
        losses = model.loss(case.batch(8), player.name, Rng.of(2, 8))
        for name, value in {"total": losses.total, **losses.terms}.items():
            assert value.shape == (), f"{name} of player {player.name} has shape {tuple(value.shape)}, expected ()"
            assert torch.isfinite(value), f"{name} of player {player.name} is {value.item()}"
        if number == 0 and model.monitor is not None:
            assert model.monitor in losses.terms, f"monitor {model.monitor!r} is not among {sorted(losses.terms)}"


def every_parameter_gets_a_gradient(case: Case) -> None:
    """Each parameter belongs to exactly one player, whose loss moves it."""
    model = case.build().train()
    if isinstance(model, ClosedForm):
        assert not model.players(), "a model fitted in closed form has no players"
        return
    owners = [id(parameter) for player in model.players() for parameter in player.parameters]
    assert len(owners) == len(set(owners)), "a parameter belongs to two players"
    missing = [name for name, parameter in model.named_parameters() if id(parameter) not in set(owners)]
    assert not missing, f"no player owns {missing}"
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for player in model.players():
        total = model.loss(case.batch(48), player.name, Rng.of(2, 48)).total
        gradients = torch.autograd.grad(total, player.parameters, allow_unused=True)
        for parameter, gradient in zip(player.parameters, gradients, strict=True):
            name = names[id(parameter)]
            assert gradient is not None, f"{name} is not reached by the loss of {player.name}"
            assert torch.isfinite(gradient).all(), f"{name} has a gradient that is not finite"
            assert (gradient != 0).any(), f"{name} has a gradient of zeros"


def loss_is_a_mean_over_events(case: Case) -> None:
    """The losses of two halves average to the loss of the whole: sharding changes nothing."""
    model = case.build()
    batch, rng = case.batch(12), Rng.of(2, 12)
    for player in model.players():
        whole = model.loss(batch, player.name, rng).total
        halves = []
        for part in (slice(0, 6), slice(6, 12)):
            context = None if batch.context is None else batch.context[part]
            shard = Batch(batch.x[part], context, batch.progress)
            halves.append(model.loss(shard, player.name, rng.rows(part)).total)
        average = (halves[0] + halves[1]) / 2
        assert torch.allclose(whole, average, rtol=1e-6, atol=1e-8), f"whole {whole:.9f}, shards {average:.9f}"


def samples_are_events(case: Case) -> None:
    """Samples have the event's shape, are finite and lie in their supports."""
    model, n = case.build(), 9
    with torch.no_grad():
        x = model.sample(n, context=case.contexts(n), rng=Rng.of(5, n))
    assert x.shape == (n, *case.event.shape), f"shape {tuple(x.shape)}, expected {(n, *case.event.shape)}"
    assert torch.isfinite(x).all(), "samples are not finite"
    for place, segment in case.event.slices():
        values = x.reshape(n, -1)[:, place]
        _check_continuous(values, segment)
        if segment.support.discrete:
            low = segment.low or 0.0
            high = low + (segment.cardinality or 0) - 1
            assert (values == values.round()).all(), f"{segment.name or place}: samples are not whole numbers"
            assert (values >= low).all(), f"{segment.name or place}: below {low}"
            assert (values <= high).all(), f"{segment.name or place}: above {high}"


def _check_continuous(values: Tensor, segment: Segment) -> None:
    name = segment.name or segment.support.value
    if segment.support is Support.POSITIVE:
        assert (values > 0).all(), f"{name}: samples are not positive"
    if segment.support in (Support.INTERVAL, Support.CIRCLE):
        low, high = segment.low or 0.0, 2 * math.pi if segment.high is None else segment.high
        assert ((values >= low) & (values <= high)).all(), f"{name}: samples beyond {low:g} .. {high:g}"
    if segment.support is Support.SPHERE:
        assert ((values.norm(dim=1) - 1).abs() < _ROUND_OFF).all(), f"{name}: samples are not unit vectors"
    if segment.support is Support.SIMPLEX:
        assert (values >= 0).all(), f"{name}: samples have negative parts"
        assert ((values.sum(dim=1) - 1).abs() < _ROUND_OFF).all(), f"{name}: parts do not sum to one"


def a_sample_does_not_depend_on_its_batch(case: Case) -> None:
    """Row i is the same at any batch size, and equal keys give equal samples."""
    model, n = case.build(), 7
    rng, context = Rng.of(5, n), case.contexts(n)
    part = slice(2, 4)
    with torch.no_grad():
        whole = model.sample(n, context=context, rng=rng)
        again = model.sample(n, context=context, rng=rng)
        alone = model.sample(2, context=None if context is None else context[part], rng=rng.rows(part))
    assert torch.equal(whole, again), "the same keys gave other samples"
    assert torch.allclose(whole[part], alone, atol=1e-5, rtol=1e-5), "a row changed with its batch"
    assert not torch.equal(whole[0], whole[3]) or case.event.is_discrete, "different keys gave the same sample"


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
        a = _log_prob(model, batch.x, batch.context, rng).value
        b = _log_prob(model, batch.x, other, rng).value
        assert not torch.allclose(a, b, atol=1e-8), "log_prob ignores its context"
    assert not torch.equal(first, second), "sample ignores its context"


def a_score_does_not_depend_on_its_batch(case: Case) -> None:
    """One value per event, the same in any order and any batch."""
    if not issubclass(case.cls, Density):
        return
    model, n = case.build(), 6
    batch, rng = case.batch(n), Rng.of(5, n)
    score = _log_prob(model, batch.x, batch.context, rng)
    assert score.value.shape == (n,), f"shape {tuple(score.value.shape)}, expected {(n,)}"
    assert score.value.dtype == batch.x.dtype, f"{score.value.dtype} from events in {batch.x.dtype}"
    assert torch.isfinite(score.value).all(), "the score of an event of the data is not finite"
    order = torch.tensor([3, 0, 5])
    context = None if batch.context is None else batch.context[order]
    alone = _log_prob(model, batch.x[order], context, rng.rows(order)).value
    assert torch.allclose(score.value[order], alone, atol=_ROUND_OFF, rtol=_ROUND_OFF), "a score changed with its batch"


def density_integrates_to_one(case: Case) -> None:
    """Quadrature where the support has one or two dimensions, enumeration on a small alphabet; a bound stays below."""
    grid = _grid(case)
    if not issubclass(case.cls, Density) or grid is None:
        return
    (x, cell), model = grid, case.build()
    context = case.contexts(1)
    many = None if context is None else context.expand(x.shape[0], -1)
    score = _log_prob(model, x, many, Rng.of(7, x.shape[0]))
    total = (score.value.exp().sum() * cell).item()
    slack = 1e-2 if score.kind == "exact" else 3e-2
    if score.kind == "lower bound" and score.stderr is not None:  # exp of it is unbiased, so the total has its noise
        slack += 4 * cell * (score.value.exp() * score.stderr).norm().item()
    assert total <= 1 + slack, f"{score.kind}: total probability {total:.4f}"
    assert score.kind == "lower bound" or total >= 1 - slack, f"{score.kind}: total probability {total:.4f}"


def _grid(case: Case) -> tuple[Tensor, float] | None:
    if case.name == "line":
        step = 0.01
        return torch.arange(-14, 14, step, dtype=torch.float64)[:, None], step
    if case.name == "plane":
        step = 0.125
        axis = torch.arange(-8, 8, step, dtype=torch.float64)
        return torch.cartesian_prod(axis, axis), step * step
    if case.name in CELLS:
        return CELLS[case.name]()
    if case.event.is_discrete and case.event.size <= 4:
        values = [range(int(s.low or 0), int(s.low or 0) + (s.cardinality or 0)) for _, s in case.event.slices()]
        return torch.tensor(list(itertools.product(*values)), dtype=torch.float64), 1.0
    return None


def samples_follow_the_density(case: Case) -> None:
    """The probability integral transform of samples on a line is uniform; counts fit on an alphabet."""
    grid = _grid(case)
    if not issubclass(case.cls, Density) or grid is None or (case.event.size > 1 and not case.event.is_discrete):
        return
    (x, cell), model = grid, case.build()
    n, context = 4000, case.contexts(1)
    expand = (lambda m: None) if context is None else (lambda m: context.expand(m, -1))
    score = _log_prob(model, x, expand(x.shape[0]), Rng.of(7, x.shape[0]))
    if score.kind == "lower bound":
        return
    mass = score.value.exp() * cell
    with torch.no_grad():
        samples = model.sample(n, context=expand(n), rng=Rng.of(11, n))
    if case.event.is_discrete:
        counts = (samples[:, None] == x[None]).all(-1).sum(0).to(mass.dtype)
        chi_square = ((counts - n * mass) ** 2 / (n * mass).clamp(min=0.5)).sum().item()
        limit = len(mass) + 6 * (2 * len(mass)) ** 0.5
        assert chi_square < limit, f"chi-square {chi_square:.1f} over {len(mass)} cells, limit {limit:.1f}"
        return
    cdf = mass.cumsum(0) / mass.sum()
    levels = cdf[torch.searchsorted(x[:, 0].contiguous(), samples[:, 0].contiguous()).clamp(max=len(cdf) - 1)].sort()[0]
    gap = (levels - (torch.arange(n, dtype=levels.dtype) + 0.5) / n).abs().max().item()
    assert gap < 2.2 / n**0.5, f"Kolmogorov-Smirnov distance {gap:.4f} between samples and density"


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
        first = _log_prob(model, batch.x, batch.context, rng).value
        assert torch.equal(first, _log_prob(other, batch.x, batch.context, rng).value), "scores differ after loading"


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
        double = _log_prob(model, batch.x, batch.context, rng)
        narrow = _log_prob(single, batch.x.float(), context, rng).value
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


LAWS: dict[str, Callable[[Case], None]] = {
    law.__name__: law
    for law in (
        loss_is_a_finite_scalar,
        every_parameter_gets_a_gradient,
        loss_is_a_mean_over_events,
        samples_are_events,
        a_sample_does_not_depend_on_its_batch,
        context_matters,
        a_score_does_not_depend_on_its_batch,
        density_integrates_to_one,
        samples_follow_the_density,
        saving_and_loading_changes_nothing,
        float32_agrees_with_float64,
        noise_and_events_correspond,
        codes_have_one_shape,
        representation_names_the_model,
    )
}
