"""A short loop for losses that need no run folder: steps, a schedule, and patience with what is not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from headwater.errors import DivergenceError
from headwater.models.base import Batch, Player
from headwater.progress import Progress, SilentProgress
from headwater.rng import Rng
from headwater.settings import OptimizerSettings, RunSettings
from headwater.training.compiling import Loss
from headwater.training.distributed import Ranks
from headwater.training.optimizer import PlayerOptimizer
from headwater.training.schedule import rate
from headwater.training.update import update

__all__ = ["descend"]

_MOST_SKIPPED = 20


def descend(
    module: nn.Module,
    players: Iterable[Player],
    loss: Loss,
    batches: Callable[[int], tuple[Batch, Rng]],
    *,
    steps: int,
    optimizer: OptimizerSettings,
    title: str,
    hint: str,
    watch: Callable[[int], None] | None = None,
    progress: Progress | None = None,
) -> list[float]:
    """Minimize a loss; its value at every step.

    A step whose loss or gradient is not finite is left out.

    Args:
        module: Whose parameters the players hold; it names them.
        players: Who trains what.
        loss: Called as a model's ``loss`` is.
        batches: The batch and its noise at a step, a pure function of the step.
        steps: Budget.
        optimizer: AdamW and its schedule.
        title: Of the phase.
        hint: What to do where steps are left out again and again.
        watch: Called after each step with the number of steps done.
        progress: Who hears how far it is.

    Raises:
        DivergenceError: more than twenty steps in a row were left out.
    """
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    optimizers = [PlayerOptimizer(player, optimizer, names) for player in players]
    alone = Ranks(RunSettings(), world=1)
    losses: list[float] = []
    skipped = 0
    with (progress or SilentProgress()).phase(title, total=steps, unit="steps") as phase, torch.enable_grad():
        for step in range(steps):
            batch, rng = batches(step)
            factor = rate(step, steps, warmup=optimizer.warmup, kind=optimizer.schedule)
            done = update(optimizers, loss, batch, rng, factor=factor, clip=optimizer.clip, ranks=alone)
            losses.append(float(done.figures[0]))
            skipped = 0 if bool(done.finite) else skipped + 1
            if skipped > _MOST_SKIPPED:
                raise DivergenceError(
                    f"{skipped} steps in a row gave a loss or gradient that is not finite.", hint=hint
                )
            phase.advance(1, loss=losses[-1])
            if watch is not None:
                watch(step + 1)
    return losses
