"""Long Markov chains of a density, with what it takes to trust them: the reference that other methods are held to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.transitions import LogDensity, hamiltonian
from headwater.rng import Rng

__all__ = ["Chains", "run_chains"]


@dataclass(frozen=True, eq=False)
class Chains:
    """Draws of several chains after their warm-up.

    Args:
        draws: In the order of time.
        acceptance: Mean Metropolis probability of each chain.
    """

    draws: Float[Tensor, "steps chains features"]
    acceptance: Float[Tensor, " chains"]

    @property
    def samples(self) -> Float[Tensor, "n features"]:
        """All draws of all chains."""
        return self.draws.flatten(0, 1)

    @property
    def rhat(self) -> Float[Tensor, " features"]:
        r"""Split :math:`\hat R` of each feature: near one (below 1.01) where halves of chains agree.

        .. math:: \hat R = \sqrt{\tfrac{m-1}{m} + \tfrac{B}{W}}

        of ``m`` draws per half chain, ``B`` the variance of the halves' means, ``W`` the mean of their variances.

        Reference: Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC
        (Vehtari, Gelman, Simpson, Carpenter & Buerkner, 2021), https://arxiv.org/abs/1903.08008, section 2.
        """
        m = len(self.draws) // 2
        halves = torch.cat([self.draws[:m], self.draws[m : 2 * m]], dim=1).double()
        between, within = halves.mean(0).var(0), halves.var(0).mean(0)
        return ((m - 1) / m + between / within).sqrt()

    @property
    def stderr(self) -> Float[Tensor, " features"]:
        """Standard error of the mean of each feature, from the spread of the chains' means."""
        means = self.draws.double().mean(0)
        return means.std(0) / math.sqrt(means.shape[0])


class _StepSize:
    r"""Dual averaging of ``log ε`` towards an acceptance, for each chain by itself.

    .. math:: H \gets (1 - \tfrac{1}{t+10}) H + \tfrac{δ - α}{t+10}, \quad \log ε = μ - \tfrac{\sqrt t}{0.05} H,
              \quad \log \bar ε \gets t^{-0.75} \log ε + (1 - t^{-0.75}) \log \bar ε

    Reference: The No-U-Turn Sampler (Hoffman & Gelman, 2014), https://arxiv.org/abs/1111.4246, algorithm 5.
    """

    def __init__(self, step: Tensor, target: float) -> None:
        self.target, self.t = target, 0
        self.centre = (10 * step).log()
        self.error, self.average = torch.zeros_like(step), step.log()
        self.step = step

    def learn(self, chance: Tensor) -> None:
        self.t += 1
        t, weight = self.t, 1 / (self.t + 10)
        self.error = (1 - weight) * self.error + weight * (self.target - chance)
        log_step = self.centre - math.sqrt(t) / 0.05 * self.error
        self.average = t**-0.75 * log_step + (1 - t**-0.75) * self.average
        self.step = log_step.exp()


@torch.no_grad()
def run_chains(
    log_density: LogDensity,
    start: Float[Tensor, "chains features"],
    *,
    steps: int,
    warmup: int,
    leapfrogs: int = 10,
    acceptance: float = 0.8,
    seed: int = 0,
) -> Chains:
    """Hamiltonian Monte Carlo from every row of ``start``, side by side; chain i depends on its own row and key alone.

    The warm-up finds each chain's step length and, in two windows, the spread of each element, which scales the steps.

    Args:
        log_density: ``log p`` of ``(n, features)`` up to a constant, differentiable.
        start: Where chains begin; spread wider than the density, so that agreement means something.
        steps: Draws kept of each chain.
        warmup: Draws before them.
        leapfrogs: Leapfrog steps of a draw.
        acceptance: Wanted Metropolis probability.
        seed: Of the velocities and decisions.
    """
    x, rng = start, Rng.of(seed, len(start), device=start.device).fold("chains")
    scale = torch.ones_like(start)
    tuner = _StepSize(x.new_full((len(x), 1), 0.1), acceptance)
    windows = [round(share * warmup) for share in (0.15, 0.4, 0.7)]
    seen: list[Tensor] = []
    for t in range(warmup):
        done = hamiltonian(log_density, x, rng.fold(t), step=tuner.step * scale, leapfrogs=leapfrogs)
        x = done.x
        tuner.learn(done.chance[:, None])
        seen.append(x)
        if t + 1 in windows:
            if t + 1 > windows[0]:
                scale = torch.stack(seen).std(0).clamp(min=1e-6)
                tuner = _StepSize(x.new_full((len(x), 1), 0.3), acceptance)
            seen = []
    step, draws, chances = tuner.average.exp() * scale, [], []
    for t in range(warmup, warmup + steps):
        done = hamiltonian(log_density, x, rng.fold(t), step=step, leapfrogs=leapfrogs)
        x = done.x
        draws.append(x)
        chances.append(done.chance)
    return Chains(torch.stack(draws), torch.stack(chances).mean(0))
