"""Models without steps: all training events at once, one evaluation, one checkpoint."""

from __future__ import annotations

import torch

from headwater.models.base import ClosedForm, Density
from headwater.training.session import Session

__all__ = ["fit_closed_form"]


@torch.no_grad()
def fit_closed_form(session: Session) -> None:
    """Encode the training rows once, fit, measure held-out events, save; a fitted run is left as it is."""
    model, state = session.model, session.state
    assert isinstance(model, ClosedForm)
    state.because = "fitted"
    if state.step:
        session.progress.note("The model is fitted already.")
        return
    feed = session.feed
    with session.progress.phase(f"Fitting {session.settings.model['name']}", total=3) as phase:
        batch, rng = feed.every(weighted=model.weighted)
        phase.advance()
        model.fit(batch, rng, session.monitor.batch)
        phase.advance()
        session.model.eval()
        state.step = state.total = 1
        if isinstance(model, Density):
            session.log.row("valid", 1, session.seconds, session.monitor.likelihood(model))
        session.save()
        session.sheet()
        phase.advance()
