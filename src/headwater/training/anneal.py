"""Better weights from a fitted flow: annealing from it to the density, in the flow's own noise."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.distributions.annealing import annealed, schedule, tune
from headwater.distributions.importance import ImportanceWeights
from headwater.distributions.transitions import LogDensity, Transition
from headwater.models.flows.model import FlowModel
from headwater.rng import Rng

__all__ = ["anneal", "pulled_back"]


def pulled_back(model: FlowModel, log_density: LogDensity) -> LogDensity:
    """``log p(T(z)) + log|det dT/dz|``: a density of events as one of the noise ``z`` that a flow ``T`` makes them of.

    Where the flow is right it is a standard normal, on which Markov chains move with ease.

    NeuTra-lizing Bad Geometry in Hamiltonian Monte Carlo Using Neural Transport (Hoffman et al., 2019),
    https://arxiv.org/abs/1903.03704.
    """

    def log_p(z: Float[Tensor, "n features"]) -> Float[Tensor, " n"]:
        x, ladj = model.flow.bijection.inverse(z, None)
        value: Tensor = log_density(x.reshape(-1, *model.event.shape)) + ladj
        return value

    return log_p


@torch.no_grad()
def anneal(
    model: FlowModel,
    log_density: LogDensity,
    n: int,
    *,
    temperatures: int = 16,
    moves: int = 1,
    spread: float = 1.0,
    transition: Transition | None = None,
    pilot: int = 256,
    seed: int = 0,
) -> ImportanceWeights:
    """``n`` samples of a flow without context, annealed to a density; their weights vary less than those of ``weigh``.

    The path from the flow ``q`` to the density ``p`` is the geometric one, ``q^(1-β) p^β``; chains move in the flow's
    noise. Step lengths are found by a pilot run of its own samples, so that the mean weight is unbiased. A mode far
    from everything that the flow makes is still not found: then anneal from a wide base instead
    (:func:`headwater.distributions.annealing.annealed`).

    Args:
        model: The flow.
        log_density: ``log p`` of events, up to a constant, differentiable.
        n: How many samples.
        temperatures: ``K``; more is better and costs as much more.
        moves: Transitions at each.
        spread: Standard deviation of the noise to begin with. Flows fitted by reverse KL are narrow where they are not
            yet right; then a spread above one keeps the weights' variance finite.
        transition: Their kind; Hamiltonian by default.
        pilot: Samples of the pilot run.
        seed: Of everything.
    """
    device, dtype = (like := next(model.parameters())).device, like.dtype
    log_p, betas = pulled_back(model, log_density), schedule(temperatures)

    def log_q(z: Tensor) -> Tensor:
        return model.flow.base.log_prob(z / spread) - model.event.size * math.log(spread)

    trial, rng = (Rng.of(seed, m, device=device).fold(name) for m, name in ((pilot, "pilot"), (n, "anneal")))
    z = model.flow.base.sample(trial, temperature=spread, dtype=dtype)
    steps = tune(z, log_q, log_p, trial, betas=betas, transition=transition)
    z = model.flow.base.sample(rng, temperature=spread, dtype=dtype)
    found = annealed(z, log_q, log_p, rng, betas=betas, steps=steps, transition=transition, moves=moves)
    return ImportanceWeights(model.from_noise(found.samples), found.log_weights)
