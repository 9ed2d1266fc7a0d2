"""How to solve the equation that carries noise to data: the options, and the solver they choose."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.distributions.solvers import FIXED, Velocity, dopri5
from headwater.models.base import Options

__all__ = ["SolverOptions", "grid", "integrate"]

_CROWDING = 1.5


class SolverOptions(Options):
    """A method on a grid with its number of steps, or the adaptive one with its tolerances."""

    solver: Literal["euler", "midpoint", "heun", "rk4", "adaptive"] = Field(
        "adaptive", description="on a grid: euler, midpoint, heun, rk4; adaptive: Dormand-Prince, steps per event"
    )
    steps: int = Field(32, ge=1, le=10_000, description="steps of a solver on a grid")
    rtol: float = Field(1e-4, ge=1e-12, le=0.1, description="tolerated relative error of the adaptive solver")
    atol: float = Field(1e-4, ge=1e-12, le=0.1, description="tolerated absolute error of the adaptive solver")
    max_steps: int = Field(1000, ge=1, le=100_000, description="the adaptive solver gives up beyond it")

    def coarser(self) -> SolverOptions:
        """Half the steps, or tenfold tolerances: to see how much the answer still moves."""
        return self.model_copy(
            update={"steps": max(1, self.steps // 2), "rtol": 10 * self.rtol, "atol": 10 * self.atol}
        )

    def protocol(self) -> dict[str, str | int | float]:
        """What a reader of a figure must know of them."""
        if self.solver == "adaptive":
            return {"solver": "dopri5", "rtol": self.rtol, "atol": self.atol}
        return {"solver": self.solver, "steps": self.steps}


def grid(start: float, stop: float, steps: int) -> Float[Tensor, " points"]:
    """Times ``t = 1 - (1 - u)^1.5``, u even: steps shorten towards t = 1, where detail forms.

    On fields learned from four thin rings the error of every solver was a half to a fifth of that on an even grid.

    >>> grid(0.0, 1.0, 4)
    tensor([0.0000, 0.3505, 0.6464, 0.8750, 1.0000], dtype=torch.float64)
    """
    first, last = ((1 - t) ** (1 / _CROWDING) for t in (start, stop))
    return 1 - torch.linspace(first, last, steps + 1, dtype=torch.float64) ** _CROWDING


def integrate(
    velocity: Velocity, x: Float[Tensor, "batch *event"], start: float, stop: float, options: SolverOptions
) -> Float[Tensor, "batch *event"]:
    """Carry ``x`` from time ``start`` to time ``stop``.

    Raises:
        DivergenceError: the adaptive solver ran out of steps.
    """
    if options.solver == "adaptive":
        ends = torch.tensor([start, stop], dtype=x.dtype, device=x.device)
        return dopri5(velocity, x, ends, rtol=options.rtol, atol=options.atol, max_steps=options.max_steps)
    return FIXED[options.solver](velocity, x, grid(start, stop, options.steps).to(x))
