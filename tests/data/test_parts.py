"""Laws of every part of a codec: exact round trip, log-determinant, normalization over the noise."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from headwater.data.codecs.base import Part, normal_log_density
from headwater.data.codecs.codes import Codes
from headwater.data.codecs.fit import wild
from headwater.data.codecs.lattice import Lattice, fit_cells, pad_cells
from headwater.data.codecs.pixels import LinearPixels, LogitPixels
from headwater.data.codecs.race import Race, class_shares
from headwater.data.codecs.registry import part_from_json
from headwater.data.codecs.spline import fit_knots, pad_knots, spline_forward, spline_inverse
from headwater.data.codecs.standard import Continuous
from headwater.errors import CheckpointError
from headwater.rng import Rng

DTYPES = (torch.float32, torch.float64)


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def lattice(codes: np.ndarray, cells: int | None = None, *, missing: bool = False, **options: bool) -> Lattice:
    order = torch.zeros(0, dtype=torch.int64)
    fitted = pad_cells([fit_cells(codes, cells=cells, **options)])
    return Lattice([0], missing=missing, origin=vector(0.0), step=vector(1.0), order=order, **fitted)


def continuous(values: np.ndarray, *, support: str = "real", curved: bool = True, missing: bool = False) -> Continuous:
    knots = pad_knots([fit_knots(values)]) if curved else (torch.zeros(0),) * 3 + (torch.zeros(0, dtype=torch.int64),)
    x, z, d, last = (k.double() if k.is_floating_point() else k for k in knots)
    return Continuous(
        [0], support=support, missing=missing, low=vector(-2.0), high=vector(5.0), shift=vector(0.3), scale=vector(2.0),
        knots=x, heights=z, slopes=d, last=last,
    )  # fmt: skip


def race(shares: list[float], *, missing: bool = False) -> Race:
    return Race([0], missing=missing, shares=torch.tensor([shares], dtype=torch.float64))


def mass(part: Part, value: float, draws: int = 4000) -> float:
    """``E_q[p(x) / q(x | v)]`` with ``p`` standard normal: the probability that ``p`` gives to the cell."""
    x, ladj = part.encode(torch.full((draws, 1), value, dtype=torch.float64), Rng.of(1, draws), torch.float64)
    return float(torch.exp(normal_log_density(x).sum(1) + ladj).mean())


def masses(part: Part, values: range, draws: int) -> float:
    """The sum of :func:`mass` over many values."""
    v = torch.tensor(values, dtype=torch.float64).repeat_interleave(draws)[:, None]
    x, ladj = part.encode(v, Rng.of(1, len(v)), torch.float64)
    return float(torch.exp(normal_log_density(x).sum(1) + ladj).sum()) / draws


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_bounded_lattice_round_trip_is_exact(dtype: torch.dtype, codes: list[int], seed: int) -> None:
    part = lattice(np.array(codes), 41)
    values = torch.arange(41, dtype=torch.float64)[:, None]
    x, ladj = part.encode(values, Rng.of(seed, 41), dtype)
    assert torch.isfinite(ladj).all()
    assert torch.equal(part.decode(x.to(dtype)), values)


@given(st.lists(st.integers(-(10**6), 10**9), min_size=2, max_size=80), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_open_lattice_round_trip_is_exact_inside_and_beyond_its_knots(codes: list[int], seed: int) -> None:
    part = lattice(np.array(codes))
    values = torch.tensor([*codes, min(codes) - 7, max(codes) + 9], dtype=torch.float64)[:, None]
    x, ladj = part.encode(values, Rng.of(seed, len(values)), torch.float64)
    assert torch.isfinite(x).all()
    assert torch.isfinite(ladj).all()
    assert (part.decode(x) - values).abs().max() <= 1e-9 * values.abs().max()


def test_lattice_is_normalized_and_gives_a_normal_model_the_training_frequencies() -> None:
    codes = np.repeat([0, 1, 2, 5], [60, 25, 10, 5])
    part = lattice(codes, 6)
    masses = [mass(part, float(k)) for k in range(6)]
    expected = (np.bincount(codes, minlength=6) + 0.5) / 103
    assert np.allclose(masses, expected, rtol=1e-9)
    assert math.isclose(sum(masses), 1, rel_tol=1e-9)


def test_open_lattice_sums_to_one_over_many_values_and_keeps_a_spike() -> None:
    draws = np.random.default_rng(0)
    codes = np.concatenate([np.zeros(900), draws.geometric(0.02, 100)])
    part = lattice(codes, nonnegative=True)
    assert math.isclose(mass(part, 0.0), 0.9, abs_tol=0.01)
    total = masses(part, range(600), 64)
    assert 0.985 < total < 1.005


def test_open_lattice_tail_has_the_rest_of_the_mass() -> None:
    part = lattice(np.arange(100), nonnegative=True)
    inside = masses(part, range(100), 64)
    beyond = masses(part, range(100, 3000), 16)
    assert math.isclose(inside + beyond, 1, abs_tol=2e-3)


def test_lattice_in_order_of_frequency_round_trip() -> None:
    codes = np.repeat([0, 1, 2], [1, 5, 3])
    rank = np.array([2, 0, 1])
    fitted = pad_cells([fit_cells(rank[codes], cells=3)])
    part = Lattice([0], missing=False, origin=vector(0), step=vector(1), order=torch.from_numpy(rank[None]), **fitted)
    values = vector(0, 1, 2)[:, None]
    x, _ = part.encode(values, Rng.of(0, 3), torch.float32)
    assert torch.equal(part.decode(x.float()), values)
    assert x[1] < x[2] < x[0]  # the most frequent first


@pytest.mark.parametrize("dtype", DTYPES)
@given(st.lists(st.integers(1, 1000), min_size=3, max_size=12), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_race_round_trip_is_exact(dtype: torch.dtype, counts: list[int], seed: int) -> None:
    shares = (np.array(counts) / sum(counts)).tolist()
    part = race(shares)
    values = torch.arange(len(counts), dtype=torch.float64).repeat(50)[:, None]
    x, ladj = part.encode(values, Rng.of(seed, len(values)), dtype)
    assert torch.isfinite(x).all()
    assert torch.equal(part.decode(x.to(dtype)), values)
    assert torch.isfinite(ladj).all()


def test_race_gives_a_normal_model_the_class_shares_without_a_gap() -> None:
    shares = class_shares(np.repeat([0, 1, 2], [70, 25, 5]), 3)
    part = race(shares.tolist())
    for code, share in enumerate(shares):
        x, ladj = part.encode(torch.full((200, 1), float(code), dtype=torch.float64), Rng.of(3, 200), torch.float64)
        bound = normal_log_density(x).sum(1) + ladj
        assert torch.allclose(bound, torch.full((200,), math.log(share), dtype=torch.float64), atol=1e-9)


def test_race_is_a_proper_density_under_another_model() -> None:
    """Importance sampling over classes with ``p = N(0.5, 1)``: the masses of all classes sum to one."""
    part = race([0.6, 0.3, 0.1])
    total = 0.0
    for code in range(3):
        values = torch.full((20_000, 1), float(code), dtype=torch.float64)
        x, ladj = part.encode(values, Rng.of(5, 20_000), torch.float64)
        total += float(torch.exp(normal_log_density(x - 0.5).sum(1) + ladj).mean())
    assert math.isclose(total, 1, abs_tol=0.03)


def test_race_vector_is_standard_normal_over_the_data() -> None:
    shares = [0.5, 0.3, 0.2]
    codes = Rng.of(0, 20_000).categorical("class", torch.tensor(shares).log().expand(20_000, 3)).double()[:, None]
    x, _ = race(shares).encode(codes, Rng.of(1, 20_000), torch.float64)
    assert x.mean(0).abs().max() < 0.03
    assert (torch.cov(x.T) - torch.eye(3)).abs().max() < 0.04


@pytest.mark.parametrize("support", ["real", "positive", "interval"])
@pytest.mark.parametrize("curved", [False, True])
def test_continuous_log_determinant_is_autodiffs(support: str, curved: bool) -> None:
    line = np.random.default_rng(0).standard_normal(400)
    part = continuous(line, support=support, curved=curved)
    v = (
        torch.linspace(-1.9, 4.9, 200, dtype=torch.float64)
        if support != "positive"
        else torch.linspace(0.01, 40, 200).double()
    )
    v = v[:, None].requires_grad_()
    z, ladj = part.encode(v, Rng.of(0, 200), torch.float64)
    (slope,) = torch.autograd.grad(z.sum(), v)
    assert torch.allclose(slope[:, 0].log(), ladj, atol=1e-9)
    assert torch.allclose(part.decode(z), v, rtol=1e-9, atol=1e-9)


def test_interval_includes_its_ends() -> None:
    part = continuous(np.random.default_rng(0).standard_normal(50), support="interval")
    ends = vector(-2.0, 5.0)[:, None]
    z, _ = part.encode(ends, Rng.of(0, 2), torch.float64)
    assert torch.allclose(part.decode(z), ends)


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=200), st.floats(-1e30, 1e30))
@example([0.0, 2.0514651236776367e-288], 2.733847896259835e20)
@settings(max_examples=60, deadline=None)
def test_spline_is_finite_monotone_and_invertible_far_outside(values: list[float], far: float) -> None:
    x, z, d, last = pad_knots([fit_knots(np.array(values))])
    v = torch.tensor(sorted({*values, far}), dtype=torch.float64)[:, None]
    h, ladj = spline_forward(v, x, z, d, last)
    assert torch.isfinite(h).all()
    assert torch.isfinite(ladj).all()
    assert (h.diff(dim=0) >= -1e-12).all()
    back = spline_inverse(h, x, z, d, last)
    spread = v.abs().max().clamp(min=1)
    assert ((back - v).abs() <= 1e-6 * spread).all()


def test_spline_survives_an_outlier_in_training_and_denormals() -> None:
    values = np.append(np.random.default_rng(0).standard_normal(1000), [1e30, 1e-310])
    x, z, d, last = pad_knots([fit_knots(values)])
    v = torch.from_numpy(values)[:, None]
    h, ladj = spline_forward(v, x, z, d, last)
    assert h.abs().max() < 5
    assert torch.isfinite(ladj).all()
    assert torch.allclose(spline_inverse(h, x, z, d, last)[:1000], v[:1000], atol=1e-9)
    assert wild(values)
    assert not wild(values[:1000])


def test_spline_makes_a_skewed_column_nearly_normal() -> None:
    values = np.random.default_rng(0).lognormal(0, 2, 20_000)
    x, z, d, last = pad_knots([fit_knots(values)])
    h, _ = spline_forward(torch.from_numpy(values)[:, None], x, z, d, last)
    assert abs(float(h.mean())) < 0.02
    assert abs(float(h.std()) - 1) < 0.03
    assert abs(float((h**3).mean())) < 0.1


@pytest.mark.parametrize("kind", [LinearPixels, LogitPixels])
@pytest.mark.parametrize("levels", [2, 17, 256, 65_536])
@pytest.mark.parametrize("dtype", DTYPES)
def test_pixels_round_trip_is_exact(kind: type[Part], levels: int, dtype: torch.dtype) -> None:
    options = {"alpha": 0.05} if kind is LogitPixels else {}
    part = kind(range(500), levels=levels, size=500, **options)
    values = torch.randint(0, levels, (200, 500), dtype=torch.int32)
    x, ladj = part.encode(values, Rng.of(0, 200), dtype)
    assert torch.equal(part.decode(x.to(dtype)), values.double())
    assert torch.isfinite(ladj).all()


def test_pixel_masses_of_a_density_sum_to_one() -> None:
    """``p = logit-normal`` integrates over the cells (and the two ends that alpha leaves over) to one."""
    part = LogitPixels(range(1), levels=8, size=1, alpha=0.05)
    inside = sum(mass(part, float(k), 20_000) for k in range(8))
    edge = float(2 * torch.special.ndtr(torch.logit(vector(0.05)))[0])
    assert math.isclose(inside + edge, 1, abs_tol=0.01)


def test_linear_pixels_ladj_is_the_hand_value() -> None:
    part = LinearPixels(range(4), levels=256, size=4)
    _, ladj = part.encode(torch.zeros(1, 4), Rng.of(0, 1), torch.float64)
    assert math.isclose(float(ladj[0]), 4 * math.log(2 / 256), rel_tol=1e-9)


def test_missing_numbers_give_a_lower_bound_that_is_tight_for_the_reference() -> None:
    part = continuous(np.random.default_rng(0).standard_normal(100), missing=True)
    gone = torch.full((100, 1), torch.nan, dtype=torch.float64)
    x, ladj = part.encode(gone, Rng.of(0, 100), torch.float64)
    assert torch.allclose(normal_log_density(x[:, 0]) + ladj, torch.zeros(100, dtype=torch.float64), atol=1e-12)
    other = normal_log_density(x[:, 0] - 0.7) + ladj
    assert math.isclose(float(torch.exp(other).mean()), 1, abs_tol=0.2)
    assert float(other.mean()) < 0


def test_missing_codes_are_uniform_beside_their_indicator() -> None:
    part = Codes([0], support="integer", classes=5, missing=True, origin=vector(3), step=vector(1))
    gone = torch.full((2000, 1), torch.nan, dtype=torch.float64)
    x, ladj = part.encode(gone, Rng.of(0, 2000), torch.float32)
    assert set(x.unique().tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert torch.allclose(ladj, torch.full((2000,), math.log(5), dtype=torch.float64))


def test_a_missing_category_is_a_class() -> None:
    part = Codes([0], support="categorical", classes=4, missing=True, origin=vector(0), step=vector(1))
    values = vector(0, 1, 2, math.nan)[:, None]
    x, ladj = part.encode(values, Rng.of(0, 4), torch.float32)
    assert x[:, 0].tolist() == [0, 1, 2, 3]
    assert torch.equal(part.decode(x).nan_to_num(-1), values.nan_to_num(-1))
    assert not part.draws
    assert (ladj == 0).all()


def test_parts_travel_through_json_bit_for_bit_and_foreign_ones_are_refused() -> None:
    parts = [
        lattice(np.arange(30)), race([0.1, 0.9, 0.0001]), continuous(np.random.default_rng(0).standard_normal(9)),
        LogitPixels(range(4), levels=256, size=4, alpha=0.05),
    ]  # fmt: skip
    for part in parts:
        told = json.loads(json.dumps(part.to_json(), allow_nan=False))
        again = part_from_json(told)
        assert again.to_json() == told
        for name, buffer in part.named_buffers():
            assert torch.equal(buffer, dict(again.named_buffers())[name])
    with pytest.raises(CheckpointError, match="unknown part"):
        part_from_json({"part": "os.system"})
    with pytest.raises(CheckpointError):
        part_from_json({"part": "race", "columns": [0], "reads": "value", "state": {"shares": {"dtype": "object"}}})
    with pytest.raises(CheckpointError):
        part_from_json({"part": "race", "columns": [0], "reads": "value", "state": {}})


def test_maps_stay_float64_whatever_happens_to_their_owner() -> None:
    part = lattice(np.arange(30)).float().half()
    assert part.at.dtype == torch.float64
    assert part.below.dtype == torch.float64
