"""Heads: every distribution sums or integrates to one and is the one its samples follow."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats

from headwater.distributions.heads import (
    Heads,
    bernoulli_log_prob,
    categorical_log_prob,
    discretized_logistic_mixture_log_prob,
    discretized_logistic_mixture_sample,
    gaussian_mixture_log_prob,
    gaussian_mixture_sample,
    numbers_from_maps,
)
from headwater.errors import UsageError
from headwater.events import EventSpec, Segment, Support
from headwater.rng import Rng

DTYPES = (torch.float32, torch.float64)
OPTIONS = (
    {},
    {"real": "mixture", "integer": "logistic", "mixtures": 3},
    {"real": "mixture", "integer": "categorical", "mixtures": 2},
)
MIXED = EventSpec(
    shape=(11,),
    segments=(
        Segment(size=2),
        Segment(support=Support.CATEGORICAL, classes=3),
        Segment(support=Support.INTEGER, low=-2, high=3),
        Segment(),
        Segment(support=Support.BINARY, size=2),
        Segment(support=Support.INTEGER, low=0, high=99),
        Segment(support=Support.POSITIVE),
        Segment(support=Support.INTERVAL, low=-1, high=2),
        Segment(support=Support.CATEGORICAL, classes=3),
    ),
)


def _numbers(heads: Heads, batch: int, scale: float, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    return scale * Rng.of(seed, batch).normal("numbers", sum(heads.parameter_sizes), dtype=dtype)


def _own(heads: Heads, params: torch.Tensor, index: int) -> torch.Tensor:
    start = sum(heads.parameter_sizes[:index])
    return params[:, start : start + heads.parameter_sizes[index]]


def _values(segment: Segment) -> torch.Tensor:
    low = segment.low if segment.support is Support.INTEGER else 0.0
    assert low is not None
    assert segment.cardinality is not None
    return low + torch.arange(segment.cardinality, dtype=torch.float64)


ELEMENTS = [segment for segment in MIXED.segments for _ in range(segment.size)]
DISCRETE = [i for i, segment in enumerate(ELEMENTS) if segment.support.discrete]
CONTINUOUS = [i for i, segment in enumerate(ELEMENTS) if not segment.support.discrete]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 50.0])
def test_discrete_heads_sum_to_one(options: dict, dtype: torch.dtype, scale: float) -> None:
    heads = Heads(MIXED, **options).to(dtype)
    params = _numbers(heads, 16, scale, dtype)
    for index in DISCRETE:
        own = _own(heads, params, index)
        total = sum(
            heads.log_prob_element(index, own, value.expand(16).to(dtype)).exp() for value in _values(ELEMENTS[index])
        )
        torch.testing.assert_close(total, torch.ones(16, dtype=dtype), atol=1e-5, rtol=0)


def _grid_of_line(heads: Heads, index: int, own: torch.Tensor) -> torch.Tensor:
    """Points dense around every component of one row, on the line where the element is a Gaussian mixture."""
    _, means, log_scales = heads.head(index).natural(own[:, None])  # type: ignore[operator]
    steps = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    return torch.sort((means[0, 0, :, None] + log_scales[0, 0, :, None].exp() * steps).flatten()).values


def _to_support(segment: Segment, y: torch.Tensor) -> torch.Tensor:
    if segment.support is Support.POSITIVE:
        return y.exp()
    if segment.support is Support.INTERVAL:
        assert segment.low is not None
        assert segment.high is not None
        return segment.low + (segment.high - segment.low) * torch.sigmoid(y)
    return y


@pytest.mark.parametrize("options", OPTIONS[:2])
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1.0), (torch.float64, 1.0), (torch.float64, 3.0)])
def test_continuous_heads_integrate_to_one(options: dict, dtype: torch.dtype, scale: float) -> None:
    heads = Heads(MIXED, **options).double()
    for seed, index in itertools.product(range(3), CONTINUOUS):
        interval = ELEMENTS[index].support is Support.INTERVAL
        if interval and (dtype == torch.float32 or scale > 1):
            continue  # its mass can lie closer to an end than the nearest number of the dtype
        own = _own(heads, _numbers(heads, 1, scale, torch.float64, seed), index)
        x = _to_support(ELEMENTS[index], _grid_of_line(heads, index, own))
        density = (
            Heads(MIXED, **options).to(dtype).log_prob_element(index, own.to(dtype).expand(len(x), -1), x.to(dtype))
        )
        total = torch.trapezoid(density.double().exp(), x)
        assert abs(float(total) - 1) < (2e-3 if dtype == torch.float32 or scale > 1 else 1e-4), (index, seed)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_numbers_give_finite_likelihoods_gradients_and_samples(options: dict, dtype: torch.dtype) -> None:
    heads = Heads(MIXED, **options).to(dtype)
    x = heads.sample(_numbers(heads, 64, 1.0, dtype), Rng.of(3, 64))
    for scale in (50.0, 1e4):
        params = _numbers(heads, 64, scale, dtype, seed=1).requires_grad_()
        log_prob = heads.log_prob(params, x)
        log_prob.sum().backward()
        assert torch.isfinite(log_prob).all()
        assert params.grad is not None
        assert torch.isfinite(params.grad).all()
        for drawn in (heads.sample(params.detach(), Rng.of(1, 64)), heads.mode(params), heads.mean(params)):
            _assert_in_supports(drawn, discrete=False)


def _assert_in_supports(x: torch.Tensor, *, discrete: bool = True) -> None:
    assert torch.isfinite(x).all()
    for column, segment in zip(x.unbind(1), ELEMENTS, strict=True):
        if segment.support.discrete:
            values = _values(segment)
            assert ((column >= values[0]) & (column <= values[-1])).all()
            assert not discrete or (column == column.round()).all()
        if segment.support is Support.POSITIVE:
            assert (column > 0).all()
        if segment.support is Support.INTERVAL:
            assert ((column >= -1) & (column <= 2)).all()


@pytest.mark.parametrize("options", OPTIONS)
def test_samples_and_modes_lie_in_the_supports(options: dict) -> None:
    heads = Heads(MIXED, **options)
    params = _numbers(heads, 200, 2.0, torch.float32)
    _assert_in_supports(heads.sample(params, Rng.of(0, 200)))
    _assert_in_supports(heads.mode(params))


@pytest.mark.parametrize("options", OPTIONS)
def test_discrete_samples_follow_the_probabilities(options: dict) -> None:
    heads, rows = Heads(MIXED, **options), 20_000
    params = _numbers(heads, 1, 1.0, torch.float32, seed=4)
    drawn = heads.sample(params.expand(rows, -1), Rng.of(7, rows))
    for index in DISCRETE:
        values = _values(ELEMENTS[index]).float()
        own = _own(heads, params, index).expand(len(values), -1)
        expected = rows * heads.log_prob_element(index, own, values).exp().double()
        observed = (drawn[:, index, None] == values).sum(0).double()
        assert _chi_square_p(observed, expected) > 1e-3, index
        alone = heads.sample_element(index, _own(heads, params, index).expand(rows, -1), Rng.of(8, rows))
        assert _chi_square_p((alone[:, None] == values).sum(0).double(), expected) > 1e-3, index


def _chi_square_p(observed: torch.Tensor, expected: torch.Tensor) -> float:
    """Cells expected fewer than five times are joined."""
    rare = expected < 5
    o = torch.cat([observed[~rare], observed[rare].sum()[None]])
    e = torch.cat([expected[~rare], expected[rare].sum()[None]])
    keep = e > 1
    statistic = ((o - e).square() / e)[keep].sum()
    return float(stats.chi2.sf(float(statistic), max(1, int(keep.sum()) - 1)))


@pytest.mark.parametrize("options", OPTIONS[:2])
def test_continuous_samples_follow_the_density(options: dict) -> None:
    heads, rows = Heads(MIXED, **options).double(), 5000
    params = _numbers(heads, 1, 0.7, torch.float64, seed=2)
    drawn = heads.sample(params.expand(rows, -1), Rng.of(5, rows))
    for index in CONTINUOUS:
        x = _to_support(ELEMENTS[index], _grid_of_line(heads, index, _own(heads, params, index)))
        own = _own(heads, params, index).expand(len(x), -1)
        density = heads.log_prob_element(index, own, x).exp()
        cdf = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(density, x)])
        where = torch.searchsorted(x, drawn[:, index].contiguous()).clamp(max=len(x) - 1)
        assert stats.kstest(cdf[where].clamp(0, 1).numpy(), "uniform").pvalue > 1e-3, index


@pytest.mark.parametrize("options", OPTIONS)
def test_one_element_at_a_time_is_the_same_distribution(options: dict) -> None:
    heads = Heads(MIXED, **options)
    params = _numbers(heads, 9, 1.0, torch.float32)
    x = heads.sample(params, Rng.of(0, 9))
    each, features = heads.log_prob(params, x), heads.features(x)
    assert features.shape == (9, sum(heads.feature_sizes))
    start = 0
    for index, size in enumerate(heads.feature_sizes):
        own = _own(heads, params, index)
        torch.testing.assert_close(heads.log_prob_element(index, own, x[:, index]), each[:, index])
        assert torch.equal(heads.features_element(index, x[:, index]), features[:, start : start + size])
        start += size


def test_draws_are_independent_between_elements_and_alike_at_any_batch_size() -> None:
    heads = Heads(EventSpec.real(2), real="gaussian")
    zero, rng = torch.zeros(4000, 2), Rng.of(0, 4000)
    a, b = heads.sample_element(0, zero, rng), heads.sample_element(1, zero, rng)
    assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 0.06
    assert torch.equal(heads.sample_element(0, zero[:1], rng.rows(slice(7, 8))), a[7:8])


def test_features_are_small_and_tell_values_apart() -> None:
    heads = Heads(MIXED)
    assert heads.feature_sizes == (1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 3)
    x = torch.tensor([[1e-3, 1e9, 2.0, -2.0, 0.0, 0.0, 1.0, 99.0, 1.0, 2.0, 0.0]])
    features = heads.features(x)[0]
    assert features.abs().max() < 100
    torch.testing.assert_close(features[0], torch.tensor(1e-3))
    assert features[2:5].tolist() == [0, 0, 1]
    torch.testing.assert_close(features[5:12], torch.tensor([-1.0, 0.0, -1.0, 1.0, 1.0, 0.0, 1.0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_low_temperature_draws_near_the_mode(options: dict) -> None:
    heads = Heads(MIXED, **options).double()
    params = _numbers(heads, 1, 1.0, torch.float64, seed=6).expand(500, -1)
    cold, mode = heads.sample(params, Rng.of(0, 500), temperature=0.01), heads.mode(params)
    for index in (2, 5, 6, 10):
        assert (cold[:, index] == mode[:, index]).double().mean() > 0.95, index
    assert float(cold[:, 0].std()) <= float(heads.sample(params, Rng.of(0, 500))[:, 0].std())


def test_the_mode_is_the_most_likely_of_all_values() -> None:
    heads = Heads(EventSpec.pixels(1, 1, 1, levels=64), mixtures=3, integer="logistic").double()
    params = _numbers(heads, 200, 2.0, torch.float64)
    values = torch.arange(64, dtype=torch.float64)
    table = heads.log_prob(params.repeat_interleave(64, 0), values.repeat(200)[:, None]).reshape(200, 64)
    found = table.gather(1, heads.mode(params).long())[:, 0]
    assert (found >= table.max(1).values - 0.7).all()
    assert (found == table.max(1).values).double().mean() > 0.8


def test_the_stable_logistic_is_the_naive_one_where_that_works() -> None:
    x = torch.arange(8, dtype=torch.float64)
    m = torch.linspace(-1, 9, 8, dtype=torch.float64)
    s = torch.linspace(-1, 2, 8, dtype=torch.float64).exp()
    ours = discretized_logistic_mixture_log_prob(x, torch.zeros(8, 1).double(), m[:, None], s.log()[:, None], 0.0, 7.0)
    upper = torch.where(x == 7, 1.0, torch.sigmoid((x + 0.5 - m) / s))
    lower = torch.where(x == 0, 0.0, torch.sigmoid((x - 0.5 - m) / s))
    torch.testing.assert_close(ours, torch.log(upper - lower))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("mean", "log_scale"), list(itertools.product((-50.0, 3.3, 50.0), (-50.0, -3.0, 50.0))))
def test_the_logistic_sums_to_one_far_out(mean: float, log_scale: float, dtype: torch.dtype) -> None:
    x = torch.arange(8, dtype=dtype)
    numbers = (torch.full((8, 1), value, dtype=dtype, requires_grad=True) for value in (0.0, mean, log_scale))
    logits, means, log_scales = numbers
    log_prob = discretized_logistic_mixture_log_prob(x, logits, means, log_scales, 0.0, 7.0)
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert abs(float(log_prob.detach().exp().sum()) - 1) < 1e-6
    assert means.grad is not None
    assert torch.isfinite(means.grad).all()


def test_a_constant_element_costs_nothing() -> None:
    event = EventSpec(shape=(1,), segments=(Segment(support=Support.INTEGER, low=5, high=5),))
    for integer in ("logistic", "categorical"):
        heads = Heads(event, integer=integer)
        params = _numbers(heads, 3, 5.0, torch.float32)
        torch.testing.assert_close(
            heads.log_prob(params, torch.full((3, 1), 5.0)), torch.zeros(3, 1), atol=1e-6, rtol=0
        )
        assert (heads.sample(params, Rng.of(0, 3)) == 5).all()


def test_pure_functions_against_torch() -> None:
    logits, x = torch.randn(6, 4), torch.tensor([0.0, 1, 2, 3, 3, 0])
    torch.testing.assert_close(
        categorical_log_prob(x, logits), torch.distributions.Categorical(logits=logits).log_prob(x)
    )
    assert categorical_log_prob(torch.tensor([4.0]), logits[:1]).item() == -math.inf
    coin = torch.tensor([0.0, 1, 1, 0, 1, 0])
    torch.testing.assert_close(
        bernoulli_log_prob(coin, logits[:, 0]), torch.distributions.Bernoulli(logits=logits[:, 0]).log_prob(coin)
    )
    means, scales = torch.randn(6, 4), torch.rand(6, 4)
    theirs = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=logits), torch.distributions.Normal(means, scales)
    )
    torch.testing.assert_close(gaussian_mixture_log_prob(x, logits, means, scales.log()), theirs.log_prob(x))


def test_a_row_draws_the_same_numbers_in_any_batch() -> None:
    logits, means, scales = torch.randn(3, 50, 4)
    rng, few = Rng.of(0, 50), slice(11, 13)
    whole = gaussian_mixture_sample(logits, means, scales, rng)
    assert torch.equal(gaussian_mixture_sample(logits[few], means[few], scales[few], rng.rows(few)), whole[few])
    whole = discretized_logistic_mixture_sample(logits, means, scales, -3.0, 3.0, rng)
    part = discretized_logistic_mixture_sample(logits[few], means[few], scales[few], -3.0, 3.0, rng.rows(few))
    assert torch.equal(part, whole[few])


def test_maps_become_numbers_of_each_pixel() -> None:
    heads = Heads(EventSpec.pixels(3, 2, 5), mixtures=2)
    maps = torch.arange(2 * 18 * 10, dtype=torch.float32).reshape(2, 18, 2, 5)
    numbers = heads.from_channels(maps)
    assert numbers.shape == (2, sum(heads.parameter_sizes))
    colour, row, column = 1, 1, 3
    pixel = colour * 10 + row * 5 + column
    assert torch.equal(numbers[:, pixel * 6 : pixel * 6 + 6], maps[:, colour * 6 : colour * 6 + 6, row, column])
    assert torch.equal(numbers_from_maps(maps, 3), numbers)


def test_a_support_without_a_head_is_named() -> None:
    event = EventSpec(shape=(1,), segments=(Segment(support=Support.CIRCLE, name="angle"),))
    with pytest.raises(UsageError, match=r"circle.*angle"):
        Heads(event)


def test_heads_save_nothing() -> None:
    assert not Heads(MIXED, real="mixture").state_dict()
