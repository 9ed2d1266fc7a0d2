"""The relativistic pairing loss and its gradient penalties, as pure functions.

D scores of reals, F scores of fakes, one pair per event.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["discriminator_loss", "generator_loss", "gradient_penalty"]


def discriminator_loss(real: Float[Tensor, " batch"], fake: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """``log(1 + exp(-(D(x) - D(G(z)))))``: each real should score above its paired fake.

    The relativistic discriminator (Jolicoeur-Martineau, 2018), https://arxiv.org/abs/1807.00734;
    the pairing is analysed in Towards a Better Global Loss Landscape of GANs (Sun, Fang &
    Schwing, 2020), https://arxiv.org/abs/2011.04926: it has no bad basins of mode collapse.

    >>> discriminator_loss(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([0.6931])
    """
    return softplus(fake - real)


def generator_loss(real: Float[Tensor, " batch"], fake: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """``log(1 + exp(-(D(G(z)) - D(x))))``: the same pair with the sides changed."""
    return softplus(real - fake)


def gradient_penalty(scores: Float[Tensor, " batch"], x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
    """``|| grad_x D(x) ||^2`` per event, differentiable: R1 on reals, R2 on fakes.

    Which Training Methods for GANs do actually Converge? (Mescheder, Geiger & Nowozin, 2018),
    https://arxiv.org/abs/1801.04406: with both, training converges locally.

    Args:
        scores: ``D(x)``, each a function of its own row alone.
        x: What was scored; must require a gradient.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1)
