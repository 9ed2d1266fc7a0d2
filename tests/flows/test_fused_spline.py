"""The spline that runs, eager and compiled, against the plain formulas and autograd."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from headwater.bijections.fused_rational_quadratic import (
    GATHERED,
    UNROLLED,
    Bins,
    evaluate,
    evaluate_gradients,
    invert,
    invert_gradients,
)
from headwater.bijections.rational_quadratic import rational_quadratic, rational_quadratic_inverse
from headwater.bijections.spline_kernels import spline, spline_inverse

MAPS = {"forward": (rational_quadratic, spline), "inverse": (rational_quadratic_inverse, spline_inverse)}
PURE = {"forward": (evaluate, evaluate_gradients), "inverse": (invert, invert_gradients)}
both = pytest.mark.parametrize("direction", MAPS)
few_and_many = pytest.mark.parametrize("bins", [1, 2, 8, 20])


def inputs(bins: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x = 3 * torch.randn(5, 40, dtype=torch.float64)
    x[0, :4] = torch.tensor([-4.0, 4.0, 0.0, 1e4])
    rows = 3 * torch.randn(3 * bins - 1, 5, 40, dtype=torch.float64)
    return x, rows, *torch.randn(2, 5, 40, dtype=torch.float64)


def plain(function: Callable[..., Any], x: Tensor, rows: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    parts = [part.movedim(0, -1) for part in rows.split([bins, bins, bins - 1])]
    return function(x, *parts, 4.0)


@both
@few_and_many
def test_values_and_two_derivatives_are_those_of_the_plain_spline(direction: str, bins: int) -> None:
    formula, runs = MAPS[direction]
    x, rows, by_y, by_ladj = inputs(bins)
    results = []
    for function in (lambda x, rows: plain(formula, x, rows, bins), lambda x, rows: runs(x, rows, bins, 4.0)):
        leaves = x.clone().requires_grad_(), rows.clone().requires_grad_()
        y, ladj = function(*leaves)
        first = torch.autograd.grad((by_y * y + by_ladj * ladj).sum(), leaves, create_graph=True)
        second = torch.autograd.grad((by_y * first[0]).sum() + first[1].square().sum(), leaves)
        results.append((y, ladj, *first, *second))
    for ours, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)


@both
@few_and_many
def test_gathered_and_unrolled_bins_give_the_same(direction: str, bins: int) -> None:
    x, rows, by_y, by_ladj = inputs(bins)
    function, gradients = PURE[direction]

    def all_of(how: Bins) -> tuple[Tensor, ...]:
        return *function(x, rows, bins, 4.0, how), *gradients(x, rows, by_y, by_ladj, bins, 4.0, how)

    for one, other in zip(all_of(GATHERED), all_of(UNROLLED), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_maps_of_a_batch_of_parameters_by_vmap() -> None:
    x, rows, *_ = inputs(4)
    alone = torch.stack([spline(x[i], rows[:, i], 4, 4.0)[0] for i in range(5)])
    torch.testing.assert_close(torch.func.vmap(lambda x, r: spline(x, r, 4, 4.0)[0], (0, 1))(x, rows), alone)


@pytest.mark.slow
def test_compiled_in_one_graph_each_way_and_in_a_flow_of_awkward_width() -> None:
    """43 columns: no multiple of a vector register."""
    script = """
import torch
from headwater.bijections.spline_kernels import compiled_splines, spline, spline_inverse
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import Batch
from headwater.models.flows.nsf import NSF, NSFConfig
from headwater.rng import Rng

torch.manual_seed(0)
x, rows = 3 * torch.randn(5, 40, dtype=torch.float64), torch.randn(11, 5, 40, dtype=torch.float64)
for function in (spline, spline_inverse):
    results = []
    for run in (function, torch.compile(lambda x, rows: function(x, rows, 4, 4.0), fullgraph=True)):
        leaves = x.clone().requires_grad_(), rows.clone().requires_grad_()
        y, ladj = run(*leaves, 4, 4.0) if run is function else run(*leaves)
        results.append((y, ladj, *torch.autograd.grad((y + ladj.square()).sum(), leaves)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)

flow = NSF(NSFConfig(transforms=2, width=32, kind="autoregressive", bins=4), EventSpec.real(43), ContextSpec())
batch, rng = Batch(torch.randn(96, 43)), Rng.of(0, 96)
flow.initialize(batch, rng)
compiled = torch.compile(flow.loss, fullgraph=True, dynamic=False)
for loss in (flow.loss, compiled, compiled, compiled):
    flow.zero_grad()
    total = loss(batch, "model", rng).total
    total.backward()
    norm = torch.stack([p.grad.norm() for p in flow.parameters()]).norm()
    expected = (total.detach(), norm) if loss == flow.loss else expected
    torch.testing.assert_close((total.detach(), norm), expected, rtol=1e-4, atol=1e-4)
eager = flow.sample(8, rng=Rng.of(1, 8))
with compiled_splines():
    torch.testing.assert_close(flow.sample(8, rng=Rng.of(1, 8)), eager, rtol=1e-4, atol=1e-4)
print("equal")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == "equal", done.stderr[-2000:]
