"""``log p(x)`` of a velocity field by the instantaneous change of variables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.solvers import Velocity
from headwater.models.ode.solve import SolverOptions, integrate
from headwater.models.ode.trace import exact_divergence, probed_divergence
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["Rates", "augment", "estimate", "log_likelihood", "rademacher"]

_CHECKED = 64  # events whose likelihood is computed again, coarser, for the error of the solver

Rates = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``rates(t, x) -> (dx/dt, dy/dt)``: the velocity of a state, and of the ``(batch, columns)`` numbers it carries."""


def augment(
    rates: Rates, x: Float[Tensor, "batch *event"], columns: int
) -> tuple[Velocity, Float[Tensor, "batch elements_and_columns"]]:
    """An equation and its start for a state together with what it carries, which starts at zero.

    Solved together, an adaptive solver controls the error of both.
    """
    size = x.shape[1:].numel()

    def field(t: Tensor, state: Tensor) -> Tensor:
        v, change = rates(t, state[:, :size].reshape(x.shape))
        return torch.cat([v.flatten(1), change], dim=1)

    return field, torch.cat([x.flatten(1), x.new_zeros(len(x), columns)], dim=1)


def log_likelihood(
    velocity: Velocity,
    x: Float[Tensor, "batch *event"],
    options: SolverOptions,
    probes: Float[Tensor, "draws batch *event"] | None = None,
) -> Float[Tensor, "batch columns"]:
    """``log p(x1) = log N(x0; 0, I) - ∫_0^1 div v(x_t, t) dt`` along the path that ends in x.

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

    def rates(t: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        def field(point: Tensor) -> Tensor:
            return velocity(t, point)

        return exact_divergence(field, point) if probes is None else probed_divergence(field, point, probes)

    columns = 1 if probes is None else len(probes)
    field, start = augment(rates, x, columns)
    end, size = integrate(field, start, 1.0, 0.0, options), x.shape[1:].numel()
    z, change = end[:, :size], end[:, size:]
    base = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1, keepdim=True)
    return base + change


def rademacher(rng: Rng, draws: int, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "draws batch *event"]:
    """Probes for the trace: a random sign per draw and element of every event."""
    half = torch.full((len(x), draws, *x.shape[1:]), 0.5, device=x.device)  # single precision: the same signs for all
    return (2 * rng.bernoulli("probes", half) - 1).to(x.dtype).movedim(1, 0)


def estimate(
    columns: Callable[[slice, SolverOptions], Float[Tensor, "rows columns"]],
    runs: Sequence[slice],
    options: SolverOptions,
    *,
    draws: int | None,
) -> Score:
    """The score of a likelihood that is an estimate twice over: in its solver and, with probes, in its trace.

    Args:
        columns: ``log p`` of some rows with some options: one column per probe, or a single one.
        runs: The rows, a few at a time.
        options: How to solve; ``ode_error`` in the protocol is the mean change in nats, over the first 64 events, from
            a coarser solution.
        draws: Number of probes, from which ``stderr`` follows; None where the trace is exact.
    """
    value = torch.cat([columns(rows, options) for rows in runs])
    few = slice(0, _CHECKED)
    change = (value[few] - columns(few, options.coarser())).mean(1).abs()
    trace: dict[str, str | int | float] = {"trace": "probes", "draws": draws} if draws else {"trace": "exact"}
    return Score(
        value.mean(1),
        "estimate",
        stderr=value.std(1) / math.sqrt(draws) if draws else None,
        protocol=options.protocol() | trace | {"ode_error": float(change.sum()) / max(1, len(change))},
    )
