"""``log p(x)`` of a velocity field by the instantaneous change of variables."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.solvers import Velocity
from headwater.models.diffusions.ode import SolverOptions, integrate
from headwater.models.diffusions.trace import exact_divergence, probed_divergence
from headwater.rng import Rng

__all__ = ["log_likelihood", "rademacher"]


def log_likelihood(
    velocity: Velocity,
    x: Float[Tensor, "batch *event"],
    options: SolverOptions,
    probes: Float[Tensor, "draws batch *event"] | None = None,
) -> Float[Tensor, "batch columns"]:
    """``log p(x1) = log N(x0; 0, I) - ∫_0^1 div v(x_t, t) dt`` along the path that ends in x.

    The state and the integral are solved for together, so that an adaptive solver controls the error of both.

    Args:
        velocity: ``v(t, x)``, carrying noise at t = 0 to data at t = 1.
        x: Data.
        options: How to solve the equation.
        probes: Random signs for the trace; None computes the exact trace.

    Returns:
        One column for the exact trace, otherwise one per probe, each an unbiased estimate (of the solved equation).

    Reference: Neural Ordinary Differential Equations (Chen, Rubanova, Bettencourt & Duvenaud, 2018),
    https://arxiv.org/abs/1806.07366, theorem 1.

    >>> field = lambda t, x: (x * (2 * t - 1)[:, None] / ((1 - t) ** 2 + t**2)[:, None])  # of standard normal data
    >>> round(log_likelihood(field, torch.zeros(1, 2), SolverOptions()).item(), 3)  # -log(2 pi)
    -1.838
    """
    batch, size = len(x), x.shape[1:].numel()
    columns = 1 if probes is None else len(probes)

    def augmented(t: Tensor, state: Tensor) -> Tensor:
        point = state[:, :size].reshape(x.shape)

        def field(point: Tensor) -> Tensor:
            return velocity(t, point)

        v, div = exact_divergence(field, point) if probes is None else probed_divergence(field, point, probes)
        return torch.cat([v.flatten(1), div], dim=1)

    start = torch.cat([x.flatten(1), x.new_zeros(batch, columns)], dim=1)
    end = integrate(augmented, start, 1.0, 0.0, options)
    z, change = end[:, :size], end[:, size:]
    base = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1, keepdim=True)
    return base + change


def rademacher(rng: Rng, draws: int, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "draws batch *event"]:
    """Probes for the trace: a random sign per draw and element of every event."""
    half = torch.full((len(x), draws, *x.shape[1:]), 0.5, device=x.device)  # single precision: the same signs for all
    return (2 * rng.bernoulli("probes", half) - 1).to(x.dtype).movedim(1, 0)
