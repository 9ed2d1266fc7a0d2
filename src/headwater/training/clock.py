"""When it is time: to compile, to turn minutes into steps, to evaluate, to save, to draw; and telling the display."""

from __future__ import annotations

import time
from collections.abc import Mapping

from headwater.progress import Phase
from headwater.training.budget import EVALUATIONS, Pace, evaluation_interval, replaced
from headwater.training.compiling import can_compile, pays
from headwater.training.session import Session

__all__ = ["Clock"]

_SHOW_SECONDS = 0.1
_SAVE_SECONDS = 120.0
_TIMED_STEPS = 20
_CHECK_EVERY = 10
_SHEET_SHARE = 0.03


class Clock:
    """Decides by the step wherever a decision changes the result, by the wall clock only where it cannot.

    The exceptions are kept in the state: how many steps the minutes allow, which is looked at
    again before each evaluation, and whether compiling pays. Rank 0's watch counts.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        state, training = session.state, session.settings.training
        self._minutes = training.minutes
        self._first = state.step
        self._pace = None if training.minutes is None else Pace(training.minutes)
        self._reserve = 0.0
        self._interval: int | None = None
        self._shown, self._pending = time.monotonic(), 0
        self._timed_from = 0.0

    def begin(self, phase: Phase) -> None:
        """Before the first step of this session: measure where training starts, settle compiling."""
        session, state = self._session, self._session.state
        training = session.settings.training
        phase.advance(state.step)
        if state.step == 0 and not session.finished:
            before = session.seconds
            if not session.evaluate():
                session.roll_back("the held-out loss is not finite before the first step")
            session.keep_snapshot()
            self._reserve = (session.seconds - before) * (EVALUATIONS + 1)
        self._settle_compiling(training.compile)

    def _settle_compiling(self, wanted: str) -> None:
        session, state = self._session, self._session.state
        if session.finished or wanted == "off" or state.compiled is False:
            state.compiled = False
        elif wanted == "on" or state.compiled:
            session.compile()
        elif can_compile(session.model, session.device):
            state.compiled = False
        elif self._minutes is not None and state.total is None:
            self._compile_if(60 * self._minutes - session.seconds)

    def _compile_if(self, remaining: float) -> None:
        session = self._session
        if session.ranks.decide(int(pays(remaining))):
            session.compile()
        else:
            session.state.compiled = False

    def tick(self, phase: Phase) -> None:
        """After each step."""
        session, state = self._session, self._session.state
        done = state.step - self._first
        self._interval = evaluation_interval(state.total, session.settings.training.evaluate_every)
        if self._pace is not None:
            self._plan(phase, self._pace)
        if state.compiled is None:
            if done == 2:
                self._timed_from = session.seconds
            if done == 2 + _TIMED_STEPS and state.total is not None:
                per_step = (session.seconds - self._timed_from) / _TIMED_STEPS
                self._compile_if(per_step * (state.total - state.step))
        self._pending += 1
        now = time.monotonic()
        if now - self._shown >= _SHOW_SECONDS:
            phase.advance(self._pending)
            self._shown, self._pending = now, 0

    def _plan(self, phase: Phase, pace: Pace) -> None:
        """Turn the minutes into steps, look again before each evaluation, end a run that is far too late."""
        session, state = self._session, self._session.state
        pace.tick(session.seconds)
        if not state.paced:
            found = pace.total(state.step, session.seconds, self._reserve)
        elif self.evaluation_due() and not session.finished:
            found = pace.again(state.step, session.seconds, self._reserve)
            self._reserve = 0.0  # from now on evaluations are part of the pace
        else:
            if state.step % _CHECK_EVERY == 0 and not session.finished:
                self._end_if_late(pace)
            return
        total = session.ranks.decide(-1 if found is None else found)
        if total < 0:
            return
        known = session.known.steps
        because = session.known.because if known is not None and known <= total else "minutes"
        total = max(state.step, total if known is None else min(known, total))
        if not state.paced or state.total is None or replaced(state.total, total):
            state.total, state.because = total, because
            phase.total(total)
            session.log.event("planned", state.step, session.seconds, steps=total)
        state.paced = True

    def _end_if_late(self, pace: Pace) -> None:
        session, state = self._session, self._session.state
        if session.ranks.decide(int(pace.overdrawn(session.seconds))):
            state.stopped = "minutes"
            session.log.event("out of time", state.step, session.seconds, planned=state.total)

    def show(self, phase: Phase, figures: Mapping[str, float]) -> None:
        """New figures for the display."""
        name = next((key for key in figures if key.endswith("loss")), None)
        phase.advance(self._pending, **({} if name is None else {name: figures[name]}))
        self._shown, self._pending = time.monotonic(), 0

    def _due(self, interval: int | None) -> bool:
        step = self._session.state.step
        return self._session.finished or (interval is not None and step % interval == 0)

    def evaluation_due(self) -> bool:
        """At the chosen interval and at the end."""
        return self._due(self._interval)

    def saving_due(self) -> bool:
        """At the chosen interval (or each evaluation), after an improvement, at the end, and every two minutes."""
        session, state = self._session, self._session.state
        improved = state.best is not None and state.best.step == state.step
        chosen = session.settings.training.checkpoint_every
        late = session.unsaved_seconds > _SAVE_SECONDS and session.ranks.world == 1
        return self._due(chosen or self._interval) or improved or late

    def sheet_due(self) -> bool:
        """At the chosen interval, or at evaluations while sheets have cost little of the time; and at the end.

        Sheets change nothing of the run, so the watch may decide.
        """
        session = self._session
        chosen = session.settings.training.sample_every
        cheap = session.sheet_seconds <= _SHEET_SHARE * session.seconds
        return self._due(chosen) if chosen else session.finished or (self._due(self._interval) and cheap)
