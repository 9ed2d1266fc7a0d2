"""One optimizer step of every player: loss, gradients, averaging, clipping, the finite check, the update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from headwater.models.base import Batch
from headwater.rng import Rng
from headwater.training.compiling import Loss
from headwater.training.distributed import Ranks
from headwater.training.optimizer import PlayerOptimizer
from headwater.training.precision import autocast, products

__all__ = ["Update", "update"]


class Update(NamedTuple):
    """What a step gave: figures to log, whether all was finite, and how many processes want to stop."""

    names: tuple[str, ...]
    figures: Float[Tensor, " figures"]
    finite: Bool[Tensor, ""]
    stop: Float[Tensor, ""]


def update(
    optimizers: Sequence[PlayerOptimizer],
    loss: Loss,
    batch: Batch,
    rng: Rng,
    *,
    factor: float,
    clip: float | None,
    ranks: Ranks,
    precision: str = "float32",
    stop: float = 0.0,
) -> Update:
    """Let each player in turn take one step on its own loss.

    A player whose loss or gradient norm is not finite does not step. Nothing here
    synchronizes with the device on one process.

    Args:
        optimizers: One per player, in the model's order.
        loss: ``model.loss``, plain or compiled.
        batch: This process's events.
        rng: One key per event.
        factor: On every learning rate.
        clip: Largest norm of a player's gradient; None for no clipping.
        ranks: The processes to average over.
        precision: Of the forward pass, or of products both ways.
        stop: 1 where this process wants the run to end after this step.
    """
    names: list[str] = []
    figures: list[Tensor] = []
    finite = torch.ones((), dtype=torch.bool, device=batch.x.device)
    stops = torch.zeros((), device=batch.x.device)
    for optimizer in optimizers:
        player = optimizer.player.name
        with products(precision):
            with autocast(precision, batch.x.device):
                losses = loss(batch, player, rng.fold(player))
            optimizer.forget_gradients()
            torch.autograd.backward(losses.total, inputs=optimizer.parameters)
        terms = {"loss": losses.total, **losses.terms}
        shared = torch.stack([*(term.detach().to(batch.x.dtype) for term in terms.values()), batch.x.new_tensor(stop)])
        gradients = optimizer.gradients()
        shared = ranks.average_(gradients, shared)
        norm = get_total_norm(gradients)
        if clip is not None:
            clip_grads_with_norm_(optimizer.parameters, clip, norm)
        healthy = torch.isfinite(shared[0]) & torch.isfinite(norm)
        optimizer.step(factor, healthy)
        finite, stops = finite & healthy, stops + shared[-1]
        prefix = f"{player}." if len(optimizers) > 1 else ""
        names += [prefix + name for name in (*terms, "grad_norm")]
        figures += [shared[:-1], norm.to(shared.dtype)[None]]
    return Update(tuple(names), torch.cat(figures), finite, stops)
