"""Explicit Runge-Kutta methods on a grid of times that is given: the same steps for every event.

Reference: Solving Ordinary Differential Equations I (Hairer, Norsett & Wanner, 1993),
https://doi.org/10.1007/978-3-540-78862-1, chapter II.1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor

from headwater.distributions.solvers.state import Velocity

__all__ = ["FIXED", "ORDERS", "euler", "heun", "midpoint", "rk4"]


def _times(times: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each step its start, one per event, and its signed length, a scalar."""
    assert len(times) >= 2
    times = times.to(x.dtype)
    return [(start.expand(x.shape[0]), stop - start) for start, stop in itertools.pairwise(times)]


def euler(
    velocity: Velocity, x: Float[Tensor, "batch *event"], times: Float[Tensor, " points"]
) -> Float[Tensor, "batch *event"]:
    """Order 1, one evaluation a step: ``x + h v(t, x)``."""
    for t, h in _times(times, x):
        x = x + h * velocity(t, x)
    return x


def midpoint(
    velocity: Velocity, x: Float[Tensor, "batch *event"], times: Float[Tensor, " points"]
) -> Float[Tensor, "batch *event"]:
    """Order 2, two evaluations a step: ``x + h v(t + h/2, x + h/2 v(t, x))``."""
    for t, h in _times(times, x):
        x = x + h * velocity(t + h / 2, x + h / 2 * velocity(t, x))
    return x


def heun(
    velocity: Velocity, x: Float[Tensor, "batch *event"], times: Float[Tensor, " points"]
) -> Float[Tensor, "batch *event"]:
    """Order 2, two evaluations a step: ``x + h/2 (k1 + k2)``, k1 = v(t, x), k2 = v(t + h, x + h k1)."""
    for t, h in _times(times, x):
        k1 = velocity(t, x)
        k2 = velocity(t + h, x + h * k1)
        x = x + h / 2 * (k1 + k2)
    return x


def rk4(
    velocity: Velocity, x: Float[Tensor, "batch *event"], times: Float[Tensor, " points"]
) -> Float[Tensor, "batch *event"]:
    """Order 4, four evaluations a step: ``x + h/6 (k1 + 2 k2 + 2 k3 + k4)``, the classical method of Kutta."""
    for t, h in _times(times, x):
        k1 = velocity(t, x)
        k2 = velocity(t + h / 2, x + h / 2 * k1)
        k3 = velocity(t + h / 2, x + h / 2 * k2)
        k4 = velocity(t + h, x + h * k3)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


FIXED: Mapping[str, Callable[[Velocity, Tensor, Tensor], Tensor]] = MappingProxyType(
    {"euler": euler, "midpoint": midpoint, "heun": heun, "rk4": rk4}
)
"""The methods on a grid, by name."""

ORDERS: Mapping[str, int] = MappingProxyType({"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4})
"""The power of the step length with which the error of each vanishes."""
