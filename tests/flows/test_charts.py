"""Charts of supports: both ways, volumes by autodiff, uniform points, edges and poles."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import scipy.stats
import torch
from torch import Tensor

from headwater.bijections.charts.atlas import Atlas, Page
from headwater.bijections.charts.chart import Chart
from headwater.bijections.charts.scalars import Angles, Intervals, Positives, Reals
from headwater.bijections.charts.simplex import LogRatio, StickBreaking
from headwater.bijections.charts.sphere import Sphere, height_share, log_sphere_area


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def unit(n: int, size: int) -> Tensor:
    x = torch.randn(n, size, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def parts(n: int, size: int) -> Tensor:
    x = -torch.rand(n, size, dtype=torch.float64).log()
    return x / x.sum(dim=1, keepdim=True)


CHARTS: dict[str, tuple[Callable[[], Chart], Callable[[int], Tensor]]] = {
    "reals": (lambda: Reals(2), lambda n: torch.randn(n, 2, dtype=torch.float64)),
    "positives": (lambda: Positives(2), lambda n: torch.randn(n, 2, dtype=torch.float64).exp()),
    "positives, softplus": (lambda: Positives(2, soft=True), lambda n: 3 * torch.randn(n, 2).double().exp()),
    "intervals": (
        lambda: Intervals(vector(-1, 10), vector(2, 1000)),
        lambda n: vector(-1, 10) + vector(3, 990) * torch.rand(n, 2, dtype=torch.float64),
    ),
    "angles": (
        lambda: Angles(vector(-180, 0), vector(180, 24)),
        lambda n: vector(-180, 0) + vector(360, 24) * torch.rand(n, 2, dtype=torch.float64),
    ),
    **{f"sphere {size}": (lambda size=size: Sphere(size), lambda n, size=size: unit(n, size)) for size in range(2, 7)},
    **{f"sticks {k}": (lambda k=k: StickBreaking(k), lambda n, k=k: parts(n, k)) for k in (2, 3, 5)},
    **{f"ratios {k}": (lambda k=k: LogRatio(k), lambda n, k=k: parts(n, k)) for k in (2, 4)},
    "atlas": (
        lambda: Atlas([Page(Sphere(3), (3, 0, 4)), Page(Reals(1), (2,)), Page(StickBreaking(2), (5, 1))]),
        lambda n: torch.cat(
            [(s := unit(n, 3))[:, 1:2], (p := parts(n, 2))[:, 1:], s[:, :1], s[:, :1], s[:, 2:], p[:, :1]], 1
        ),
    ),
}
every = pytest.mark.parametrize("name", CHARTS)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_coordinates_lead_back_to_the_point(name: str, dtype: torch.dtype) -> None:
    make, draw = CHARTS[name]
    chart, x = make().to(dtype), draw(200).to(dtype)
    u, ladj = chart(x)
    assert u.shape == (200, len(chart.coordinates))
    assert u.dtype == ladj.dtype == dtype
    slack = 1e-7 if dtype == torch.float64 else 2e-3
    torch.testing.assert_close(chart.inverse(u), x, rtol=slack, atol=slack)
    low = {"circle": 0.0, "box": -1.0, "line": -math.inf}
    high = {"circle": 2 * math.pi, "box": 1.0, "line": math.inf}
    for i, kind in enumerate(chart.coordinates):
        assert low[kind] <= u[:, i].min()
        assert u[:, i].max() <= high[kind]


@every
def test_the_log_determinant_is_that_of_autodiff(name: str) -> None:
    """``|dx/du|`` is the volume of the columns of the Jacobian, or that of the parts that count on a simplex."""
    make, draw = CHARTS[name]
    chart, x = make(), draw(5)
    u, ladj = chart(x)
    jacobian = torch.autograd.functional.jacobian(lambda v: chart.inverse(v).sum(dim=0), u).transpose(0, 1)
    if isinstance(chart, StickBreaking | LogRatio):
        volume = torch.linalg.slogdet(jacobian[:, :-1]).logabsdet
    elif isinstance(chart, Atlas):
        volume = torch.linalg.slogdet(jacobian[:, [5]][:, :, [3]]).logabsdet
        sphere = jacobian[:, [3, 0, 4]][:, :, :2]
        volume = volume + 0.5 * torch.linalg.slogdet(sphere.mT @ sphere).logabsdet
    else:
        volume = 0.5 * torch.linalg.slogdet(jacobian.mT @ jacobian).logabsdet
    torch.testing.assert_close(ladj, -volume, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in CHARTS if name.startswith(("sphere", "sticks"))])
def test_uniform_points_have_uniform_coordinates(name: str) -> None:
    make, draw = CHARTS[name]
    u, _ = make()(draw(4000))
    for i, kind in enumerate(make().coordinates):
        share = u[:, i] / (2 * math.pi) if kind == "circle" else (u[:, i] + 1) / 2
        assert scipy.stats.kstest(share.numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("m", range(6))
def test_the_share_of_a_sphere_below_a_height_is_a_beta_distribution(m: int) -> None:
    r = torch.linspace(-0.999, 0.999, 41, dtype=torch.float64)
    value, log_slope = height_share(r, m)
    beta = scipy.stats.beta(m / 2 + 1, m / 2 + 1, loc=-1, scale=2)
    torch.testing.assert_close((value + 1) / 2, torch.from_numpy(beta.cdf(r.numpy())))
    torch.testing.assert_close(log_slope, torch.from_numpy(beta.logpdf(r.numpy())) + math.log(2))


@pytest.mark.parametrize(("dimension", "area"), [(1, 2 * math.pi), (2, 4 * math.pi), (3, 2 * math.pi**2)])
def test_areas_of_spheres(dimension: int, area: float) -> None:
    assert log_sphere_area(dimension) == pytest.approx(math.log(area))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_poles_and_missing_parts_are_points_too(dtype: torch.dtype) -> None:
    for size in (2, 3, 4, 5):
        x = torch.cat([torch.eye(size, dtype=dtype), -torch.eye(size, dtype=dtype)])
        for chart in (Sphere(size).to(dtype), StickBreaking(size).to(dtype)):
            x = x if isinstance(chart, Sphere) else torch.eye(size, dtype=dtype)
            u, _ = chart(x)
            assert u.isfinite().all()
            slack = 3 * torch.finfo(dtype).eps ** (1 / (size - 1))  # as documented
            torch.testing.assert_close(chart.inverse(u), x, rtol=0, atol=slack)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_ends_of_the_box_are_points_of_the_support(dtype: torch.dtype) -> None:
    for size in (3, 4, 5, 6):
        corners = torch.cartesian_prod(*[torch.tensor([-1.0, 0.3, 1.0], dtype=dtype)] * (size - 1)).reshape(
            -1, size - 1
        )
        x = Sphere(size).to(dtype).inverse(corners)
        torch.testing.assert_close(x.norm(dim=1), torch.ones(len(x), dtype=dtype))
        x = StickBreaking(size).to(dtype).inverse(corners)
        assert (x >= 0).all()
        torch.testing.assert_close(x.sum(dim=1), torch.ones(len(x), dtype=dtype))
