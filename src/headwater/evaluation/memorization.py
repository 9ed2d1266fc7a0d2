"""Memorization: are generated events closer to the training data than fresh real events are?"""

from __future__ import annotations

import hashlib
from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped
from pydantic import Field

from headwater.config import Config
from headwater.evaluation.arrays import Features, as_pair
from headwater.evaluation.chance import binomial_tail, hypergeometric_tail, normal_tail, rank_sum_z, wilson_interval
from headwater.evaluation.distances import Neighbours, nearest

__all__ = ["Memorization", "exact_copies", "memorization"]

_QUANTILE = 0.01
_ALARM = 1e-3
_TOUCH = 1e-5

Verdict = Literal["copies", "too close", "none found"]


class Memorization(Config):
    """Distances to the training data, of generated and of held-out events, and what they say."""

    verdict: Verdict = Field(description="copies; too close; none found (which proves nothing more)")
    copies: int = Field(ge=0, description="generated events equal to a training event")
    held_out_copies: int = Field(ge=0, description="the same count for held-out events")
    copies_p: float = Field(description="chance of so many copies if generated events were like held-out ones")
    close: float = Field(description="share of generated events nearer than all but 1 % of held-out ones")
    close_interval: tuple[float, float] = Field(description="95 % interval of that share")
    close_p: float = Field(description="chance of so large a share if generated events were like held-out ones")
    z: float = Field(description="rank-sum statistic: below -3, generated events lie nearer than real ones do")
    z_p: float = Field(description="its one-sided p-value")
    authentic: float = Field(description="share farther from their nearest training event than its own neighbour is")
    held_out_authentic: float = Field(description="the same share of held-out events")
    median: float = Field(description="median distance of generated events to the nearest training event")
    held_out_median: float = Field(description="the same of held-out events")
    n: int = Field(ge=1, description="generated events")
    held_out_n: int = Field(ge=1, description="held-out events")
    train_n: int = Field(ge=1, description="training events searched")
    space: str = Field("standardized values", description="where distances are measured")
    distances: tuple[float, ...] = Field((), description="quantiles of the generated distances, 0 to 100 %")
    held_out_distances: tuple[float, ...] = Field((), description="quantiles of the held-out distances")


def _keys(rows: Shaped[np.ndarray, "n *shape"]) -> list[bytes]:
    whole = np.ascontiguousarray(rows.reshape(len(rows), -1))
    if np.issubdtype(whole.dtype, np.floating):
        whole = np.where(np.isnan(whole), np.nan, whole + 0.0)  # one spelling of NaN and of zero
    return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in whole]


def exact_copies(rows: Shaped[np.ndarray, "n *shape"], train: Shaped[np.ndarray, "m *shape"]) -> int:
    """How many rows equal a training row in every element; types must agree.

    >>> exact_copies(np.array([[1, 2], [3, 4]]), np.array([[3, 4], [5, 6]]))
    1
    """
    known = set(_keys(train))
    return sum(key in known for key in _keys(rows.astype(train.dtype, copy=False)))


def _quantiles(distance: np.ndarray) -> tuple[float, ...]:
    return tuple(float(q) for q in np.quantile(distance, np.linspace(0, 1, 101)))


def _authentic(near: Neighbours, train: Float[np.ndarray, "m d"]) -> float:
    found, place = np.unique(near.row[:, 0], return_inverse=True)
    two = nearest(train[found], train, min(2, len(train)))
    own = np.where(two.row[:, 0] == found, two.distance[:, -1], two.distance[:, 0])
    return float((near.distance[:, 0] > own[place]).mean())


def memorization(
    train: Features,
    held_out: Features,
    fake: Features,
    *,
    copies: int | None = None,
    held_out_copies: int | None = None,
    space: str = "standardized values",
) -> Memorization:
    r"""Compare the distances to the nearest training event of generated and of held-out events.

    Held-out events are as near to the training data as fresh events of the true distribution
    are; generated events should be no nearer. Four views of it:

    * exact copies, against those held-out events hold too (small alphabets repeat): Fisher's exact test;
    * ``close``: the share of generated events with a distance below the 1 % quantile of the
      held-out distances, and the binomial chance of so many;
    * ``z``: the rank-sum statistic of all distances, Meehan et al.'s :math:`C_T` without cells;
    * ``authentic``: share of events f with :math:`d(f, t) > d(t, t')`, t the training event nearest
      to f and t' the one nearest to t. Alone it says little, beside the held-out share it does.

    The verdict is ``copies`` or ``too close`` only where chance is below one in a thousand *and* the
    effect is large (copies; ``close`` above 5 %; ``z`` below -3 with the median distance 10 % below).

    Args:
        train: Training events in the space of the distances, ``(m, d)``.
        held_out: Held-out events, ``(k, d)``.
        fake: Generated events, ``(n, d)``.
        copies: From :func:`exact_copies`, generated; None counts the distances that are zero
            up to the round-off of float32, which is right for real numbers.
        held_out_copies: The same of held-out events.
        space: Name of the space, for the record.

    Raises:
        DataError: fewer than two rows somewhere, columns that differ, or numbers that are not finite.

    References:
        A Non-Parametric Test to Detect Data-Copying in Generative Models (Meehan, Chaudhuri &
        Dasgupta, 2020), https://arxiv.org/abs/2004.05675; How Faithful is your Synthetic Data?
        (Alaa, van Breugel, Saveliev & van der Schaar, 2022), https://arxiv.org/abs/2102.08921.
    """
    t, h = as_pair(train, held_out)
    _, f = as_pair(train, fake)
    near_h, near_f = nearest(h, t), nearest(f, t)
    d_h, d_f = near_h.distance[:, 0], near_f.distance[:, 0]
    touch = _TOUCH * t.shape[1] ** 0.5
    copies = int((d_f <= touch).sum()) if copies is None else copies
    held_out_copies = int((d_h <= touch).sum()) if held_out_copies is None else held_out_copies
    below = int((d_f < np.quantile(d_h, _QUANTILE)).sum())
    copies_p = hypergeometric_tail(copies, len(f), held_out_copies, len(h))
    close_p, z = binomial_tail(below, len(f), max(_QUANTILE, 1 / len(h))), rank_sum_z(d_f, d_h)
    share, medians = below / len(f), (float(np.median(d_f)), float(np.median(d_h)))
    near = (close_p < _ALARM and share > 5 * _QUANTILE) or (z < -3 and medians[0] < 0.9 * medians[1])
    return Memorization(
        verdict="copies" if copies and copies_p < _ALARM else "too close" if near else "none found",
        copies=copies,
        held_out_copies=held_out_copies,
        copies_p=copies_p,
        close=share,
        close_interval=wilson_interval(below, len(f)),
        close_p=close_p,
        z=z,
        z_p=normal_tail(-z),
        authentic=_authentic(near_f, t),
        held_out_authentic=_authentic(near_h, t),
        median=medians[0],
        held_out_median=medians[1],
        n=len(f),
        held_out_n=len(h),
        train_n=len(t),
        space=space,
        distances=_quantiles(d_f),
        held_out_distances=_quantiles(d_h),
    )
