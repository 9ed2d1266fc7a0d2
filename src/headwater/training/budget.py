"""Budgets: steps, epochs and minutes become one number of steps, so that schedule and resume stay deterministic."""

from __future__ import annotations

import math
from typing import NamedTuple

from headwater.settings import TrainingSettings

__all__ = ["EVALUATIONS", "Pace", "Plan", "evaluation_interval", "plan"]

EVALUATIONS = 20
_LEAST_INTERVAL = 25
_DEFAULT_EPOCHS = 100
_DEFAULT_STEPS = (2_000, 20_000)
_OVERDRAFT = 1.25


class Plan(NamedTuple):
    """How many steps, and which budget says so; ``steps`` None while only minutes are known."""

    steps: int | None
    because: str


def plan(training: TrainingSettings, rows: int) -> Plan:
    """The least of the budgets that are known before the first step.

    Without any budget: a hundred passes over the data, but at least 2,000 and at most 20,000 steps.

    >>> plan(TrainingSettings(steps=500, epochs=10, batch_size=100), rows=1000)
    Plan(steps=100, because='epochs')
    >>> plan(TrainingSettings(batch_size=256), rows=5000)
    Plan(steps=2000, because='default')
    """
    known = []
    if training.steps is not None:
        known.append(Plan(training.steps, "steps"))
    if training.epochs is not None:
        known.append(Plan(max(1, math.ceil(training.epochs * rows / training.batch_size)), "epochs"))
    if known:
        return min(known)
    if training.minutes is not None:
        return Plan(None, "minutes")
    low, high = _DEFAULT_STEPS
    return Plan(min(high, max(low, math.ceil(_DEFAULT_EPOCHS * rows / training.batch_size))), "default")


def evaluation_interval(total: int | None, chosen: int | None) -> int | None:
    """Steps between held-out evaluations: as chosen, or twenty in all but 25 steps at least; None while unknown."""
    if chosen is not None or total is None:
        return chosen
    return max(_LEAST_INTERVAL, math.ceil(total / EVALUATIONS))


class Pace:
    """Turns minutes into a number of steps, once, after timing the first steps.

    The first two steps warm up and are not timed. Timing ends after a twentieth of
    the budget, at most five seconds, and at least three steps. From what is left,
    the ``reserve`` (evaluations) is set aside, at most half of it.

    Args:
        minutes: The budget.
        first: Step at which this process begins to count.
    """

    def __init__(self, minutes: float, first: int) -> None:
        self._budget = 60.0 * minutes
        self._first = first
        self._start: float | None = None

    def total(self, step: int, elapsed: float, reserve: float) -> int | None:
        """Steps in all, or None while timing goes on; ``step`` steps are done after ``elapsed`` seconds of the run."""
        timed = step - self._first - 2
        if timed == 0:
            self._start = elapsed
        if self._start is None or timed < 1:
            return None
        spent = elapsed - self._start
        if elapsed < self._budget and (timed < 3 or spent < min(5.0, self._budget / 20)):
            return None
        left = self._budget - elapsed
        left -= min(reserve, left / 2) if left > 0 else 0.0
        return step + max(0, int(left * timed / max(spent, 1e-9)))

    def overdrawn(self, elapsed: float) -> bool:
        """Whether the run has taken a quarter more than its minutes: the machine became slower."""
        return elapsed > _OVERDRAFT * self._budget
