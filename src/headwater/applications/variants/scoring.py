"""Scores of one member: events against the wild type, with draws until the standard error is small enough."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64, UInt8

from headwater.applications.variants.moments import Moments
from headwater.applications.variants.mutations import Variants
from headwater.errors import DivergenceError, UsageError
from headwater.models.base import Comparing
from headwater.rng import Rng
from headwater.runs.run import Run

__all__ = ["ROUND", "Codes", "score_codes", "score_variants"]

ROUND = 16
_EVENTS_AT_ONCE = 8192
_PIECE = 32_768
_MOST_DRAWS = 4096

Codes = UInt8[np.ndarray, "n sites"]


def score_variants(
    run: Run, variants: Variants, *, tolerance: float, seed: int = 0
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Scores and standard errors of variants that were read, a piece of their sequences at a time.

    See :func:`score_codes`.
    """
    n = len(variants.rows)
    value, error = np.zeros(n), np.zeros(n)
    for start in range(0, n, _PIECE):
        rows = slice(start, min(start + _PIECE, n))
        codes = variants.codes(rows)
        value[rows], error[rows] = score_codes(run, codes, variants.wild_type, tolerance=tolerance, seed=seed)
    return value, error


def score_codes(
    run: Run,
    codes: Codes,
    wild_type: UInt8[np.ndarray, " sites"],
    *,
    tolerance: float,
    most_draws: int = _MOST_DRAWS,
    seed: int = 0,
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """``log p(x) - log p(wild type)`` of each sequence and its standard error, nats; (0 where it is exact).

    Stochastic members see the same noise for all sequences and the wild type in each draw; draws come in rounds,
    each as many as all before, for those sequences whose standard error is still above ``tolerance``. A sequence's
    score depends on itself, the seed and the tolerance alone, not on what is scored with it.

    Args:
        run: A trained member; its model compares.
        codes: Residues by number, gaps last, one sequence per row.
        wild_type: The sequence to compare with.
        tolerance: Standard error at which to stop, nats.
        most_draws: Give up there; the error says how far it got.
        seed: Of the draws.

    Raises:
        UsageError: the run's model cannot compare.
        DivergenceError: a score is not a number.
    """
    moments = Moments(len(codes))
    for start in range(0, len(codes), _EVENTS_AT_ONCE):
        piece = slice(start, start + _EVENTS_AT_ONCE)
        _score_piece(run, codes[piece], wild_type, moments, start, tolerance, most_draws, seed)
    spoiled = ~np.isfinite(moments.mean)
    if spoiled.any():
        raise DivergenceError(
            f"{int(spoiled.sum())} of {len(codes)} scores of {run.name} are not numbers.",
            hint="Train it again with a lower learning rate: --set optimizer.lr=3e-4",
        )
    return moments.mean, np.where(np.isinf(moments.stderr), 0.0, moments.stderr)


def _score_piece(
    run: Run,
    codes: Codes,
    wild_type: UInt8[np.ndarray, " sites"],
    moments: Moments,
    start: int,
    tolerance: float,
    most_draws: int,
    seed: int,
) -> None:
    model = run.model
    if not isinstance(model, Comparing):
        raise UsageError(f"{type(model).__name__} cannot say how much likelier one sequence is than another.")
    device = next(iter([*model.parameters(), *model.buffers()])).device
    raw = torch.from_numpy(np.concatenate([wild_type[None], codes])).to(device)
    events, _ = run.codec.encode(raw, Rng.of(0, len(raw), device=device))
    reference, x = events[0], events[1:]
    place = np.zeros(len(moments.mean), dtype=bool)
    open_, done, draws = np.ones(len(codes), dtype=bool), 0, ROUND
    while open_.any() and done < most_draws:
        rng = Rng.of(seed, 1, device=device).fold("variants").fold(done)
        chosen = torch.from_numpy(np.flatnonzero(open_)).to(device)
        with torch.no_grad():
            score = model.log_ratio(x[chosen], reference, rng=rng, draws=draws)
        value = score.value.double().cpu().numpy()
        error = None if score.stderr is None else score.stderr.double().cpu().numpy()
        place[start : start + len(codes)] = open_
        if error is None:
            moments.add(place, value, np.zeros_like(value), 1)
            return
        moments.add(place, value, error, draws)
        done += draws
        open_ = moments.stderr[start : start + len(codes)] > tolerance
        draws = min(done, most_draws - done)
