"""Budgets: steps, epochs and minutes become one number of steps, so that schedule and resume stay deterministic."""

from __future__ import annotations

import math
from typing import NamedTuple

from headwater.settings import TrainingSettings

__all__ = ["EVALUATIONS", "Pace", "Plan", "evaluation_interval", "plan", "replaced"]

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
    """Turns minutes into a number of steps: first by timing a few steps, then again as the run goes on.

    The first two steps warm up and are not timed. Timing ends after a twentieth of
    the budget, at most five seconds, and at least three steps. From what is left,
    the ``reserve`` (evaluations) is set aside, at most half of it. :meth:`again` replaces
    that first guess, which a stall in those seconds spoils, by the pace since the last look.

    Args:
        minutes: The budget.
    """

    def __init__(self, minutes: float) -> None:
        self._budget = 60.0 * minutes
        self._warming = 2
        self._ticks, self._since = 0, 0.0

    def tick(self, elapsed: float) -> None:
        """One more step is done; steps repeated after a rollback count again."""
        if self._warming:
            self._warming -= 1
            self._since = elapsed
        else:
            self._ticks += 1

    def total(self, step: int, elapsed: float, reserve: float) -> int | None:
        """Steps in all, or None while timing goes on; ``step`` steps are done after ``elapsed`` seconds of the run."""
        if self._warming or self._ticks < 1:
            return None
        if elapsed < self._budget and (self._ticks < 3 or elapsed - self._since < min(5.0, self._budget / 20)):
            return None
        return self.again(step, elapsed, reserve)

    def again(self, step: int, elapsed: float, reserve: float = 0.0) -> int:
        """Steps in all at the pace since the last look, whatever filled that time (steps, evaluations, checkpoints)."""
        left = self._budget - elapsed
        left -= min(reserve, left / 2) if left > 0 else 0.0
        found = step + max(0, int(left * self._ticks / max(elapsed - self._since, 1e-9)))
        self._ticks, self._since = 0, elapsed
        return found

    def overdrawn(self, elapsed: float) -> bool:
        """Whether the run has taken a quarter more than its minutes: the machine stalled between two looks."""
        return elapsed > _OVERDRAFT * self._budget


def replaced(total: int, found: int) -> bool:
    """Whether a newly found number of steps differs so much (a twentieth) that the plan changes.

    >>> replaced(1000, 1040), replaced(1000, 900)
    (False, True)
    """
    return abs(found - total) * EVALUATIONS > total
