"""Categories and coins as pure functions of logits. Codes are whole floats, as events hold them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headwater.rng import Rng

__all__ = ["bernoulli_log_prob", "bernoulli_sample", "categorical_log_prob", "categorical_sample"]


def categorical_log_prob(
    x: Float[Tensor, "*shape"], logits: Float[Tensor, "*shape classes"]
) -> Float[Tensor, "*shape"]:
    """``log softmax(logits)[x]`` for codes ``0 .. classes-1``, in nats.

    A code out of that range has probability zero: ``-inf``.

    >>> categorical_log_prob(torch.tensor([1.0]), torch.tensor([[0.0, 0.0]])).exp()
    tensor([0.5000])
    """
    log_p = torch.log_softmax(logits, dim=-1)
    code = x.long().clamp(0, logits.shape[-1] - 1)
    chosen = log_p.gather(-1, code[..., None])[..., 0]
    return torch.where(code == x, chosen, -torch.inf)


def categorical_sample(
    logits: Float[Tensor, "rows *shape classes"], rng: Rng, *, temperature: float = 1.0
) -> Float[Tensor, "rows *shape"]:
    """A code with probability ``softmax(logits / T)``."""
    return rng.categorical("category", logits / temperature).to(logits.dtype)


def bernoulli_log_prob(x: Float[Tensor, "*shape"], logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``x log sigma(l) + (1 - x) log sigma(-l)`` for ``x`` zero or one, in nats.

    >>> bernoulli_log_prob(torch.tensor([1.0]), torch.tensor([0.0])).exp()
    tensor([0.5000])
    """
    return functional.logsigmoid((2 * x - 1) * logits)


def bernoulli_sample(
    logits: Float[Tensor, "rows *shape"], rng: Rng, *, temperature: float = 1.0
) -> Float[Tensor, "rows *shape"]:
    """One with probability ``sigma(l / T)``."""
    return rng.bernoulli("coin", torch.sigmoid(logits / temperature))
