"""Columns taken in an order, and their gradients."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from headwater.networks.columns import Columns, reorder


@pytest.mark.parametrize("index", [[2, 0], [1], [3, 2, 1, 0], [0, 1, 2, 3]])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3, 2)])
def test_values_and_two_derivatives_are_those_of_a_selection(index: list[int], shape: tuple[int, ...]) -> None:
    take = Columns(index, of=4)
    x = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    assert torch.equal(take(x), x[:, index])
    assert torch.autograd.gradcheck(take, (x,))
    assert torch.autograd.gradgradcheck(lambda x: take(x).pow(3), (x,))


def test_inverse_puts_columns_back() -> None:
    order = [3, 0, 2, 1]
    x = torch.arange(8.0).reshape(2, 4)
    assert torch.equal(Columns.inverse(order)(Columns(order, of=4)(x)), x)


def test_by_vmap() -> None:
    x = torch.randn(3, 5, 4)
    take = Columns([2, 0], of=4)
    assert torch.equal(torch.func.vmap(take)(x), x[:, :, [2, 0]])


def test_whole_numbers_pass() -> None:
    assert Columns([1], of=2)(torch.tensor([[3, 4]])).tolist() == [[4]]


@pytest.mark.parametrize(("index", "complaint"), [([], "at least one"), ([1, 1], "twice")])
def test_refuses(index: list[int], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Columns(index, of=3)


def test_reordered_columns_lie_one_after_another() -> None:
    order, back = torch.tensor([2, 0, 1]), torch.tensor([1, 2, 0])
    result = reorder(torch.randn(5, 3), order, back)
    assert result.t().is_contiguous()


@pytest.mark.slow
@pytest.mark.parametrize("taken", [43, 21])
def test_compiled_for_two_threads_the_gradient_of_a_transposed_sum_stays_in_its_buffer(taken: int) -> None:
    """With ``index_select`` in place of Columns, torch 2.13 corrupts the heap here (pytorch issue 191837)."""
    script = f"""
import torch
from headwater.networks.columns import Columns

torch.set_num_threads(2)
torch.manual_seed(0)
take, a, b = Columns(torch.randperm(43)[:{taken}].tolist(), of=43), torch.randn(512, {taken}), torch.randn({taken}, 512)

def loss(x):
    y = take(x)
    return (y.square() * a).sum() + (y.t().square() * b).sum()

x = torch.randn(512, 43, requires_grad=True)
expected = torch.autograd.grad(loss(x), x)[0]
compiled = torch.compile(loss, dynamic=False, fullgraph=True)
for _ in range(5):
    torch.testing.assert_close(torch.autograd.grad(compiled(x), x)[0], expected)
print("equal")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.strip() == "equal", done.stderr[-2000:]
