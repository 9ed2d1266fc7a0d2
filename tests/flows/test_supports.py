"""Maps of circles and boxes, and rows of both: inverses, log-determinants, seams, in float64 and float32."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from headwater.bijections.affine import Affine
from headwater.bijections.bijection import Bijection
from headwater.bijections.box_spline import BoxSpline
from headwater.bijections.circular import TURN, Circular, CircularSpline, wrap
from headwater.bijections.mixed import MixedAutoregressive, MixedCoupling
from headwater.bijections.moebius import Moebius, moebius
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.row import UnivariateRow
from headwater.bijections.univariate import Univariate

MAPS: dict[str, Callable[[], Univariate]] = {
    "circular spline": lambda: CircularSpline(5),
    "circular spline, two bins": lambda: CircularSpline(2),
    "moebius": lambda: Moebius(3),
    "box spline": lambda: BoxSpline(5),
    "box spline, one bin": lambda: BoxSpline(1),
}
every_map = pytest.mark.parametrize("name", MAPS)


def points(map_: Univariate, n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    u = torch.rand(n, dtype=dtype)
    u[:3] = torch.tensor([0.0, 0.5, 1.0 - 1e-12], dtype=dtype)
    return TURN * u if isinstance(map_, Circular) else 2 * u - 1


def apart(map_: Univariate, a: Tensor, b: Tensor) -> float:
    """Greatest distance, round the circle where there is one."""
    gap = (a - b).detach().abs()
    return float((torch.minimum(gap, TURN - gap) if isinstance(map_, Circular) else gap).max())


@every_map
@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0])
def test_inverse_and_log_slope_in_float64(name: str, scale: float) -> None:
    map_ = MAPS[name]()
    x = points(map_, 400).requires_grad_()
    parameters = scale * torch.randn(400, map_.size, dtype=torch.float64)
    y, ladj = map_(x, parameters)
    back, ladj_back = map_.inverse(y, parameters)
    assert apart(map_, back, x) < 1e-7
    torch.testing.assert_close(ladj_back, -ladj, rtol=1e-5, atol=1e-5)
    again, _ = map_(map_.inverse(x, parameters)[0], parameters)
    assert apart(map_, again, x) < 1e-9
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope.log()[3:], ladj[3:], rtol=1e-8, atol=1e-8)
    assert y.dtype == ladj.dtype == back.dtype == torch.float64
    low, high = (0.0, TURN) if isinstance(map_, Circular) else (-1.0, 1.0)
    assert ((y >= low) & (y <= high)).all()
    if scale == 0:
        assert apart(map_, y, x) < 1e-12


@every_map
def test_float32_round_trip_within_the_support(name: str) -> None:
    map_ = MAPS[name]()
    x, parameters = points(map_, 20_000, torch.float32), torch.randn(20_000, map_.size)
    if not isinstance(map_, Circular):
        x[3:9000] = 1.0  # rounding must not carry an end beyond itself
    y, ladj = map_(x, parameters)
    back, ladj_back = map_.inverse(y, parameters)
    assert apart(map_, back, x) < 1e-3
    assert ((ladj + ladj_back).abs() < 0.02).all()
    assert apart(map_, map_(map_.inverse(x, parameters)[0], parameters)[0], x) < 2e-4
    for value in (y, back):
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    assert ((y >= 0) & (y < TURN) if isinstance(map_, Circular) else y.abs() <= 1).all()


@every_map
def test_the_slopes_integrate_to_the_length_of_the_support(name: str) -> None:
    map_ = MAPS[name]()
    n = 40_000
    middles = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    length = TURN if isinstance(map_, Circular) else 2.0
    x = length * middles - (0 if isinstance(map_, Circular) else 1)
    _, ladj = map_(x, torch.randn(map_.size, dtype=torch.float64).expand(n, -1))
    assert ladj.exp().mean().item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", [name for name in MAPS if name[0] in "cm"])
def test_there_is_no_seam(name: str) -> None:
    map_ = MAPS[name]()
    parameters = torch.randn(3, map_.size, dtype=torch.float64)
    x = torch.tensor([0.0, 1e-9, TURN - 1e-9], dtype=torch.float64)
    y, ladj = map_(x, parameters[:1].expand(3, -1))
    assert apart(map_, y, y[:1].expand(3)) < 1e-6
    torch.testing.assert_close(ladj, ladj[:1].expand(3), rtol=0, atol=1e-6)


def test_wrapping_stays_below_a_whole_turn() -> None:
    tiny = torch.tensor([-1e-30, -1e-9, 0.0, TURN, 7.0, -7.0])
    assert ((wrap(tiny) >= 0) & (wrap(tiny) < TURN)).all()
    assert ((wrap(tiny.double()) >= 0) & (wrap(tiny.double()) < TURN)).all()


def test_one_moebius_transformation_is_the_papers_up_to_a_rotation() -> None:
    """``(1 - |w|^2) / |z - w|^2 (z - w) - w`` with complex numbers (equation 6 of Rezende et al.)."""
    theta = torch.linspace(0, 6.2, 50, dtype=torch.float64)
    w = torch.tensor(0.5 - 0.3j, dtype=torch.complex128)
    z = torch.polar(torch.ones_like(theta), theta)
    image = (1 - w.abs() ** 2) / (z - w).abs() ** 2 * (z - w) - w
    turn = torch.angle(image / image[0])
    one = torch.ones(50, 1, dtype=torch.float64)
    y, _ = moebius(theta, 0.5 * one, -0.3 * one, one)
    torch.testing.assert_close(torch.cos(y - y[0]), torch.cos(turn))
    torch.testing.assert_close(torch.sin(y - y[0]), torch.sin(turn))


CIRCLE, BOX, LINE = CircularSpline(4), BoxSpline(4), RationalQuadratic(4)
ROW = [LINE, CIRCLE, BOX, Moebius(3), CIRCLE, Affine()]
C = 3
SMALL = {"width": 16, "blocks": 1}
ROWS: dict[str, Callable[[], Bijection]] = {
    "autoregressive": lambda: MixedAutoregressive(ROW, **SMALL),
    "autoregressive, context": lambda: MixedAutoregressive(ROW, context=C, order=[4, 0, 5, 1, 3, 2], **SMALL),
    "coupling": lambda: MixedCoupling(ROW, [0, 2, 4], **SMALL),
    "coupling, context": lambda: MixedCoupling(ROW, [1, 3, 5], context=C, **SMALL),
}
every_row = pytest.mark.parametrize("name", ROWS)


def build(name: str, dtype: torch.dtype = torch.float64) -> Bijection:
    torch.manual_seed(1)
    row = ROWS[name]().to(dtype)
    with torch.no_grad():
        for parameter in row.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for part in row.modules():
            mask = getattr(part, "mask", None)
            if isinstance(mask, Tensor) and isinstance(part.weight, nn.Parameter):
                part.weight.mul_(mask)
    return row


def rows(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    u = torch.rand(7, len(ROW), dtype=dtype)
    columns = [
        TURN * u[:, i] if isinstance(map_, Circular) else 2 * u[:, i] - 1 if map_ is BOX else 6 * u[:, i] - 3
        for i, map_ in enumerate(ROW)
    ]
    return torch.stack(columns, dim=1), torch.randn(7, C, dtype=dtype)


@every_row
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_rows_invert_both_ways(name: str, dtype: torch.dtype) -> None:
    row, (x, c) = build(name, dtype), rows(dtype)
    slack = 1e-8 if dtype == torch.float64 else 1e-3
    z, ladj = row(x, c)
    back, ladj_back = row.inverse(z, c)
    torch.testing.assert_close(back, x, rtol=slack, atol=slack)
    torch.testing.assert_close(ladj_back, -ladj, rtol=slack, atol=10 * slack)
    torch.testing.assert_close(row(row.inverse(x, c)[0], c)[0], x, rtol=slack, atol=slack)
    with torch.no_grad():
        fast, ladj_fast = row.inverse(z, c)
    torch.testing.assert_close(fast, back, rtol=slack, atol=slack)
    torch.testing.assert_close(ladj_fast, ladj_back, rtol=slack, atol=slack)
    assert z.dtype == ladj.dtype == dtype


@every_row
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_rows_log_determinant_is_that_of_autodiff(name: str, direction: str) -> None:
    row, (x, c) = build(name), rows()
    step = row.forward if direction == "forward" else row.inverse
    full = torch.autograd.functional.jacobian(lambda v: step(v, c)[0].sum(dim=0), x)
    assert isinstance(full, Tensor)
    torch.testing.assert_close(
        step(x, c)[1], torch.linalg.slogdet(full.transpose(0, 1)).logabsdet, rtol=1e-8, atol=1e-8
    )


@every_row
def test_rows_have_no_seam_and_use_context_and_every_parameter(name: str) -> None:
    row, (x, c) = build(name), rows()
    turned = x.clone()
    for i, map_ in enumerate(ROW):
        if isinstance(map_, Circular):
            turned[:, i] += TURN
    z, ladj = row(x, c)
    z_turned, ladj_turned = row(turned, c)
    torch.testing.assert_close(torch.cos(z_turned), torch.cos(z))
    torch.testing.assert_close(ladj_turned, ladj)
    assert torch.equal(row(x, c.flip(0))[0], z) == ("context" not in name)
    (z.square().sum() - ladj.sum()).backward()
    for label, parameter in row.named_parameters():
        assert parameter.grad is not None, label
        assert parameter.grad.isfinite().all(), label
        assert parameter.grad.abs().sum() > 0, label


def test_a_network_sees_angles_as_cosine_and_sine_in_the_elements_order() -> None:
    row = UnivariateRow([LINE, CIRCLE, BOX])
    seen = row.seen(torch.tensor([[2.0, 1.0, 0.5]]))
    torch.testing.assert_close(seen, torch.tensor([[2.0, math.cos(1), math.sin(1), 0.5]]))
    assert row.inputs == (1, 2, 1)
    assert row.sizes == (LINE.size, CIRCLE.size, BOX.size)


COMPILED = """
import torch
from headwater.events import ContextSpec, EventSpec, Segment, Support
from headwater.models.base import Batch
from headwater.models.flows.manifold import ManifoldFlow
from headwater.models.flows.mixture import FlowMixture
from headwater.rng import Rng

torch.set_num_threads(1)
simplex, sphere = (Segment(support=kind, size=3) for kind in (Support.SIMPLEX, Support.SPHERE))
interval = Segment(support=Support.INTERVAL, low=0, high=1)
segments = (Segment(), Segment(support=Support.POSITIVE), interval, Segment(support=Support.CIRCLE), sphere, simplex)
mixed = EventSpec(shape=(10,), segments=segments)
small = {"transforms": 1, "width": 8, "blocks": 1}
component = {"name": "realnvp", "base": "resampled", **small}
for model, event in (
    (ManifoldFlow(ManifoldFlow.Config(bins=3, circle="moebius", **small), mixed, ContextSpec(size=2)), mixed),
    (FlowMixture(FlowMixture.Config(components=2, component=component), EventSpec.real(2), ContextSpec(size=2)), None),
):
    x = torch.rand(6, 2) if event is None else model.sample(6, context=torch.randn(6, 2), rng=Rng.of(1, 6))
    batch, rng = Batch(x, torch.randn(6, 2)), Rng.of(0, 6)
    torch.compiler.reset()
    fast = torch.compile(model.loss, fullgraph=True, backend="aot_eager")(batch, "model", rng).total
    plain = model.loss(batch, "model", rng).total
    torch.testing.assert_close(fast, plain)
    fast.backward()
    assert all(p.grad is not None for p in model.parameters())
"""


def test_losses_compile_without_a_break() -> None:
    """In a process of its own: the run-time shape checks of the tests are breaks themselves."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
