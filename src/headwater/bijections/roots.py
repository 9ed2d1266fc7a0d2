"""Inverting an increasing function that has no inverse in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["bracket", "increasing_inverse", "tilted"]

_STEPS = 128
_CHECK_EVERY = 8
_LEAST_SLOPE = 1e-3


def increasing_inverse(
    f: Callable[[Tensor], tuple[Tensor, Tensor]],
    y: Float[Tensor, "*shape"],
    low: Float[Tensor, "*shape"],
    high: Float[Tensor, "*shape"],
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``x`` with ``f(x) = y``, and ``log dx/dy``, by Newton's method kept inside a bracket.

    A Newton step that leaves the bracket, or after which the bracket has not shrunk by half in
    two steps, gives way to bisection, so that no function is too flat. It ends when no element
    moves any more. Gradients are those of the implicit function, ``dx/dy = 1 / f'(x)`` and
    ``dx/dθ = -(∂f/∂θ) / f'(x)``, by one more Newton step that is recorded.

    Args:
        f: ``x`` to ``(f(x), log f'(x))``, increasing, element by element.
        y: Values.
        low: Where ``f(low) <= y``.
        high: Where ``f(high) >= y``.
    """
    with torch.no_grad():
        x = _search(f, y, low, high)
    value, log_slope = f(x)
    x = x - (value - y) * torch.exp(-log_slope.detach())
    return x, -f(x)[1]


def _search(f: Callable[[Tensor], tuple[Tensor, Tensor]], y: Tensor, low: Tensor, high: Tensor) -> Tensor:
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    x = 0.5 * (low + high)
    width = math.inf * torch.ones_like(x)
    for step in range(_STEPS):
        value, log_slope = f(x)
        below = value < y
        low, high = torch.where(below, x, low), torch.where(below, high, x)
        newton = x - (value - y) * torch.exp(-log_slope)
        slow = high - low > 0.5 * width if step % 2 else torch.zeros_like(below)
        if step % 2:
            width = high - low
        inside = (newton > low) & (newton < high) & ~slow
        following = torch.where(value == y, x, torch.where(inside, newton, 0.5 * (low + high)))
        still = (following - x).abs() <= torch.finfo(x.dtype).eps * x.abs()
        x = following
        if step % _CHECK_EVERY == _CHECK_EVERY - 1 and bool(still.all()):
            break
    return x


def tilted(
    x: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"], log_slope: Float[Tensor, "*shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """``(1 - ε) y + ε x`` and the logarithm of its slope, ``ε`` = 1e-3: no plateau is too flat to invert.

    >>> [round(v.item(), 3) for v in tilted(torch.tensor(2.0), torch.tensor(0.0), torch.tensor(-1e4))]
    [0.002, -6.908]
    """
    floor = torch.full_like(log_slope, math.log(_LEAST_SLOPE))
    slope = torch.logaddexp(log_slope + math.log1p(-_LEAST_SLOPE), floor)
    return (1 - _LEAST_SLOPE) * y + _LEAST_SLOPE * x, slope


@torch.no_grad()
def bracket(
    f: Callable[[Tensor], tuple[Tensor, Tensor]], y: Float[Tensor, "*shape"]
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Two points between which an increasing function of the whole line takes the values ``y``.

    Looks around ``y`` itself, twice as far each time.
    """
    reach = torch.ones_like(y)
    for _ in range(_STEPS):
        short = (f(y - reach)[0] > y) | (f(y + reach)[0] < y)
        if not bool(short.any()):
            break
        reach = torch.where(short, 2 * reach, reach)
    return y - reach, y + reach
