"""Annealed importance sampling: from a density that can be sampled to one that can only be evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.importance import ImportanceWeights
from headwater.distributions.transitions import Hamiltonian, LogDensity, Transition
from headwater.errors import UsageError
from headwater.rng import Rng

__all__ = ["annealed", "bridge", "schedule", "tune"]

_GAIN = 0.6


def schedule(temperatures: int, power: float = 2.0) -> tuple[float, ...]:
    """``β_k = (k / K)^power`` for ``k = 0 .. K``: with a power above one the first steps, where densities differ most,
    are the shortest.

    >>> schedule(4)
    (0.0, 0.0625, 0.25, 0.5625, 1.0)
    """
    return tuple((k / temperatures) ** power for k in range(temperatures + 1))


def bridge(log_q: LogDensity, log_p: LogDensity, beta: float) -> LogDensity:
    """``(1 - β) log q + β log p``, the geometric path; its ends are q and p themselves, wherever the other is zero."""
    if beta in (0.0, 1.0):
        return log_p if beta else log_q
    return lambda x: (1 - beta) * log_q(x) + beta * log_p(x)


def annealed(
    x: Float[Tensor, "n features"],
    log_q: LogDensity,
    log_p: LogDensity,
    rng: Rng,
    *,
    betas: Sequence[float],
    steps: Sequence[float],
    transition: Transition | None = None,
    moves: int = 1,
) -> ImportanceWeights:
    r"""Samples carried from ``q`` to ``p`` along the geometric path, and the weights of their ways.

    .. math:: \log w = \sum_{k=1}^{K} (β_k - β_{k-1}) \left(\log p(x_{k-1}) - \log q(x_{k-1})\right),
              \qquad x_k \sim T_k(\cdot \mid x_{k-1}),

    where :math:`T_k` leaves :math:`q^{1-β_k} p^{β_k}` as it is. The mean of ``w`` is an unbiased estimate of ``∫p``
    for any transitions, steps and temperatures that were chosen without looking at these samples.

    Args:
        x: Samples of ``q``.
        log_q: Its log-density, normalized, in nats.
        log_p: The target's, up to a constant.
        rng: One key per sample.
        betas: ``0 = β_0 < ... < β_K = 1``.
        steps: Step length at each of ``β_1 .. β_K``; see :func:`tune`.
        transition: ``T``; Hamiltonian by default.
        moves: Transitions at each temperature.

    Raises:
        UsageError: temperatures that do not rise from 0 to 1, or another number of steps.
        DataError: a weight is not a number, or all are zero.

    Reference: Annealed Importance Sampling (Neal, 2001), https://arxiv.org/abs/physics/9803008.
    """
    kernel = transition or Hamiltonian()
    _check(betas, steps)
    log_w = x.new_zeros(len(x))
    for k in range(1, len(betas)):
        log_w = log_w + (betas[k] - betas[k - 1]) * (log_p(x) - log_q(x))
        density = bridge(log_q, log_p, betas[k])
        for move in range(moves):
            x = kernel(density, x, rng.fold(k).fold(move), step=steps[k - 1]).x
    return ImportanceWeights(x, log_w)


def tune(
    x: Float[Tensor, "n features"],
    log_q: LogDensity,
    log_p: LogDensity,
    rng: Rng,
    *,
    betas: Sequence[float],
    transition: Transition | None = None,
    acceptance: float = 0.8,
    step: float = 0.3,
    moves: int = 4,
) -> tuple[float, ...]:
    """Step lengths with about this acceptance at each temperature, from a pilot run of its own samples.

    After each pilot move ``log ε`` changes by 0.6 times the acceptance beyond what is wanted. What comes out depends on
    the pilot samples alone, so that weights of other samples stay unbiased.
    """
    kernel = transition or Hamiltonian()
    found: list[float] = []
    for k in range(1, len(betas)):
        density = bridge(log_q, log_p, betas[k])
        for move in range(moves if k > 1 else 4 * moves):
            done = kernel(density, x, rng.fold("tune").fold(k).fold(move), step=step)
            x = done.x
            step *= float(torch.exp(_GAIN * (done.chance.mean() - acceptance)))
        found.append(step)
    return tuple(found)


def _check(betas: Sequence[float], steps: Sequence[float]) -> None:
    rising = all(a < b for a, b in pairwise(betas))
    if len(betas) < 2 or betas[0] != 0 or betas[-1] != 1 or not rising:
        raise UsageError(
            f"Temperatures must rise from 0 to 1, got {tuple(betas)}.",
            hint="headwater.distributions.annealing.schedule(K)",
        )
    if len(steps) != len(betas) - 1:
        raise UsageError(f"Expected {len(betas) - 1} step lengths, one per temperature above 0, got {len(steps)}.")
