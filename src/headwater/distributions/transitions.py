"""Markov transitions that leave a density as it is: Hamiltonian, Langevin and random-walk Metropolis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headwater.rng import Rng

__all__ = ["Hamiltonian", "LogDensity", "Move", "RandomWalk", "Transition", "hamiltonian", "leapfrog", "random_walk"]

LogDensity = Callable[[Tensor], Tensor]
"""``log p`` of points ``(n, features)`` up to a constant, in nats; minus infinity where the density is zero."""
Length = float | Tensor


class Move(NamedTuple):
    """Where a transition ended.

    Args:
        x: The new points; the old ones where the proposal was rejected.
        accepted: Whether the proposal was taken.
        chance: Its Metropolis probability ``min(1, e^{-ΔH})``.
    """

    x: Float[Tensor, "n features"]
    accepted: Bool[Tensor, " n"]
    chance: Float[Tensor, " n"]


@runtime_checkable
class Transition(Protocol):
    """A kernel with a step length, under which any density given to it is invariant."""

    def __call__(self, log_density: LogDensity, x: Tensor, rng: Rng, *, step: Length) -> Move:
        """One transition of every row."""


def _value_and_gradient(log_density: LogDensity, x: Tensor) -> tuple[Tensor, Tensor]:
    """With a graph where the caller differentiates through the transition, without otherwise."""
    through = torch.is_grad_enabled() and x.requires_grad
    with torch.enable_grad():
        point = x if through else x.detach().requires_grad_()
        value = log_density(point)
        (gradient,) = torch.autograd.grad(value.sum(), point, create_graph=through)
    return (value, gradient) if through else (value.detach(), gradient)


def leapfrog(
    log_density: LogDensity, x: Float[Tensor, "n features"], v: Float[Tensor, "n features"], step: Length, steps: int
) -> tuple[Float[Tensor, "n features"], Float[Tensor, "n features"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    r"""``L`` leapfrog steps of ``dx = v dt``, ``dv = ∇ log p(x) dt``: reversible, and volume is preserved.

    .. math:: v \mathrel{+}= \tfrac ε2 ∇\log p(x), \quad x \mathrel{+}= ε v, \quad v \mathrel{+}= \tfrac ε2 ∇\log p(x)

    Args:
        log_density: ``log p``.
        x, v: Positions and velocities.
        step: ``ε``; one number, or one per row and element (a diagonal mass matrix ``1/ε²``).
        steps: ``L``.

    Returns:
        The last positions and velocities, ``log p`` at the first and at the last position.
    """
    first, gradient = _value_and_gradient(log_density, x)
    last = first
    for _ in range(steps):
        v = v + 0.5 * step * gradient
        x = x + step * v
        last, gradient = _value_and_gradient(log_density, x)
        v = v + 0.5 * step * gradient
    return x, v, first, last


def _decide(x: Tensor, proposal: Tensor, log_ratio: Tensor, rng: Rng) -> Move:
    # A proposal whose density is not a number compares false and is rejected, as one of density zero is.
    accepted = rng.uniform("accept", dtype=x.dtype).log() < log_ratio.detach()
    chance = torch.where(torch.isnan(log_ratio), 0.0, log_ratio.detach().clamp(max=0).exp())
    return Move(torch.where(accepted[:, None], proposal, x), accepted, chance)


def hamiltonian(
    log_density: LogDensity,
    x: Float[Tensor, "n features"],
    rng: Rng,
    *,
    step: Length,
    leapfrogs: int = 10,
    jitter: float = 0.1,
) -> Move:
    r"""One transition of Hamiltonian Monte Carlo with unit mass and fresh velocities.

    Accepted with probability :math:`\min(1, e^{H(x,v) - H(x',v')})`, :math:`H = \tfrac12|v|^2 - \log p(x)`. One
    leapfrog step is Langevin's proposal with Metropolis' correction (MALA): the same move with drift ``ε²/2 ∇ log p``.

    Args:
        log_density: ``log p``, differentiable.
        x: Where the rows are.
        rng: One key per row.
        step: ``ε``; one number, or one per row and element.
        leapfrogs: ``L``, leapfrog steps of a proposal.
        jitter: Each row's step is drawn from ``ε (1 ± jitter)``, lest trajectories come back to where they began.

    Reference: MCMC Using Hamiltonian Dynamics (Neal, 2011), https://arxiv.org/abs/1206.1901, figure 2; Exponential
    Convergence of Langevin Distributions and Their Discrete Approximations (Roberts & Tweedie, 1996),
    https://doi.org/10.2307/3318418.
    """
    v = rng.normal("velocity", x.shape[1], dtype=x.dtype)
    stretch = 1 + jitter * (2 * rng.uniform("jitter", 1, dtype=x.dtype) - 1)
    proposal, velocity, before, after = leapfrog(log_density, x, v, step * stretch, leapfrogs)
    log_ratio = after - before + 0.5 * (v.square() - velocity.square()).sum(dim=1)
    return _decide(x, proposal, log_ratio, rng)


def random_walk(log_density: LogDensity, x: Float[Tensor, "n features"], rng: Rng, *, step: Length) -> Move:
    """Metropolis' own: ``x' = x + ε n``, accepted with probability ``min(1, p(x') / p(x))``; needs no gradient.

    Reference: Equation of State Calculations by Fast Computing Machines (Metropolis, Rosenbluth, Rosenbluth, Teller &
    Teller, 1953), https://doi.org/10.1063/1.1699114.
    """
    proposal = x + step * rng.normal("step", x.shape[1], dtype=x.dtype)
    return _decide(x, proposal, log_density(proposal) - log_density(x), rng)


@dataclass(frozen=True)
class Hamiltonian:
    """:func:`hamiltonian` with its settings, as a :class:`Transition`; ``leapfrogs=1`` is MALA."""

    leapfrogs: int = 10
    jitter: float = 0.1

    def __call__(self, log_density: LogDensity, x: Tensor, rng: Rng, *, step: Length) -> Move:
        """One transition of every row."""
        return hamiltonian(log_density, x, rng, step=step, leapfrogs=self.leapfrogs, jitter=self.jitter)


@dataclass(frozen=True)
class RandomWalk:
    """:func:`random_walk` as a :class:`Transition`."""

    def __call__(self, log_density: LogDensity, x: Tensor, rng: Rng, *, step: Length) -> Move:
        """One transition of every row."""
        return random_walk(log_density, x, rng, step=step)
