"""Lower bounds of a log-likelihood from draws of what was not seen, with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headwater.rng import Rng

__all__ = ["bound_of_draws", "importance_weighted_bound"]


def importance_weighted_bound(
    log_weights: Float[Tensor, "batch draws"],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """``log (1/K) sum_k w_k`` and its standard error, ``w_k = p(x, z_k) / q(z_k | x)``, in nats.

    A lower bound of ``log p(x)`` in expectation that rises with K. The standard error is
    the delta method's: that of the mean of ``w`` divided by that mean; zero for one draw,
    which says nothing of its error.

    Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, 2016), equation 8 and
    theorem 1, https://arxiv.org/abs/1509.00519.

    >>> importance_weighted_bound(torch.tensor([[-1.0, -1.0]]))
    (tensor([-1.]), tensor([0.]))
    """
    draws = log_weights.shape[1]
    bound = torch.logsumexp(log_weights, dim=1) - math.log(draws)
    if draws == 1:
        return bound, torch.zeros_like(bound)
    relative = torch.exp(log_weights - bound[:, None])  # mean one, at most `draws`: cannot overflow
    return bound, relative.std(dim=1) / math.sqrt(draws)


def bound_of_draws(
    log_weight: Callable[[Int64[Tensor, " rows"], Rng], Float[Tensor, " rows"]], rng: Rng, draws: int, *, at_once: int
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """:func:`importance_weighted_bound` of ``draws`` draws for each of ``rng.n`` events, in pieces of bounded memory.

    Draw k of an event is the same whatever the batch, the pieces and the number of draws.

    Args:
        log_weight: ``(event, keys) -> log w``: the events' numbers, and one key of randomness for each.
        rng: One key per event.
        draws: K.
        at_once: Draws weighed in one call; at least one.
    """
    keys, at_once = rng.fold("importance").repeat(draws), max(1, at_once)
    pieces = [
        log_weight(
            torch.arange(start, min(start + at_once, keys.n), device=rng.keys.device) // draws,
            keys.rows(slice(start, start + at_once)),
        )
        for start in range(0, keys.n, at_once)
    ]
    return importance_weighted_bound(torch.cat(pieces).reshape(rng.n, draws))
