"""What is done when numbers stop being finite: go back, halve the rate, a bounded number of times, then say so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headwater.errors import DivergenceError
from headwater.models.base import GenerativeModel
from headwater.runs.weights import load_state, non_finite
from headwater.training.ema import Ema
from headwater.training.optimizer import PlayerOptimizer
from headwater.training.state import TrainState

__all__ = ["Snapshot", "exploded", "gather_groups", "give_up", "non_finite_group", "restore_groups"]

_EXPLOSION = 100.0
Groups = dict[str, dict[str, Tensor]]


def gather_groups(model: GenerativeModel, ema: Ema, optimizers: Sequence[PlayerOptimizer]) -> Groups:
    """All tensors of a run by group: ``model``, ``ema`` (where there is one), ``optimizer``, ``random``."""
    groups: Groups = {"model": dict(model.state_dict())}
    if ema.active:
        groups["ema"] = dict(ema.average().state_dict())
    groups["optimizer"] = {name: value for optimizer in optimizers for name, value in optimizer.state().items()}
    groups["random"] = {"cpu": torch.get_rng_state()}
    return {name: {key: value.detach() for key, value in group.items()} for name, group in groups.items() if group}


def restore_groups(
    groups: Mapping[str, Mapping[str, Tensor]], model: GenerativeModel, ema: Ema, optimizers: Sequence[PlayerOptimizer]
) -> None:
    """Set exactly what :func:`gather_groups` gave."""
    load_state(model, groups["model"])
    if ema.active:
        load_state(ema.average(), groups["ema"])
    for optimizer in optimizers:
        optimizer.restore(groups.get("optimizer", {}))
    torch.set_rng_state(groups["random"]["cpu"])


def non_finite_group(groups: Mapping[str, Mapping[str, Tensor]]) -> str:
    """The first tensor that holds a NaN or an infinity, as ``group/name``; "" if none does.

    >>> non_finite_group({"ema": {"w": torch.tensor([float("nan")])}})
    'ema/w'
    """
    return next((f"{group}/{name}" for group, tensors in groups.items() for name in non_finite(tensors)), "")


def exploded(value: float, reference: float | None) -> bool:
    """Whether a held-out loss is not finite, or a hundred times worse than before the first step.

    >>> exploded(700.0, 3.0), exploded(30.0, 3.0)
    (True, False)
    """
    if not math.isfinite(value):
        return True
    return reference is not None and value > reference + _EXPLOSION * (1 + abs(reference))


@dataclass
class Snapshot:
    """The last good state, in memory."""

    groups: Groups
    state: TrainState

    @classmethod
    def take(cls, groups: Groups, state: TrainState) -> Snapshot:
        """Copy everything."""
        return cls({name: {k: v.clone() for k, v in group.items()} for name, group in groups.items()}, state.copy())

    def rolled_back(self, current: TrainState) -> TrainState:
        """The state to go on from: this one, one more attempt, half the learning rate."""
        state = self.state.copy()
        state.attempt, state.lr_factor = current.attempt + 1, current.lr_factor / 2
        state.compiled, state.seconds = current.compiled, current.seconds
        return state


def give_up(reason: str, state: TrainState, last: Mapping[str, Any], lr: float) -> DivergenceError:
    """The error after the last rollback: what happened, the last finite figures, what to try."""
    figures = ", ".join(f"{key} {value:.4g}" for key, value in last.items() if isinstance(value, int | float))
    return DivergenceError(
        f"Training diverged at step {state.step}: {reason}. It was rolled back {state.attempt} times, the learning "
        f"rate is down to {lr * state.lr_factor:.3g}. Last finite figures: {figures or 'none, it never was finite'}.",
        hint=f"Try --set optimizer.lr={lr / 10:.1g}, --set optimizer.clip=1, or look for outliers with `headwater "
        "inspect`. The last good checkpoint is intact.",
    )
