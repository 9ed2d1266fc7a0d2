"""Precision, recall, density and coverage: is what is made real, and is all that is real made?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from headwater.evaluation.arrays import Features, as_pair
from headwater.evaluation.distances import distance_chunks, nearest

__all__ = ["Manifold", "manifold_scores"]


_TOUCH = 1 + 1e-12  # a point on the rim is inside, whatever the square root rounded to


class Manifold(NamedTuple):
    """Four shares; see :func:`manifold_scores`. All but ``density`` lie in [0, 1]."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(real: Features, fake: Features, *, k: int = 5) -> Manifold:
    r"""Compare two sets by balls that reach each point's ``k``-th nearest neighbour in its own set.

    With :math:`B(r_i)` the ball about the real row :math:`r_i` whose radius is the distance to its
    ``k``-th nearest other real row, and likewise :math:`B(f_j)`, for n real and m generated rows:

    * precision, fidelity: share of :math:`f_j` inside at least one :math:`B(r_i)`;
    * recall, variety: share of :math:`r_i` inside at least one :math:`B(f_j)`;
    * density, fidelity robust to outliers: :math:`\frac{1}{km} \sum_j \sum_i 1[f_j \in B(r_i)]`, about 1 at best;
    * coverage, variety: share of :math:`B(r_i)` that hold at least one :math:`f_j`.

    Neighbouring balls grow as rows get fewer, so all four depend on n, m and ``k``:
    read them beside the same figures of two real sets of these sizes.

    Args:
        real: Features of real events, ``(n, d)``.
        fake: Features of generated events, ``(m, d)``.
        k: Which neighbour sets the radius.

    Raises:
        DataError: fewer than ``k + 1`` rows on a side.

    References:
        Improved Precision and Recall Metric for Assessing Generative Models (Kynkaanniemi,
        Karras, Laine, Lehtinen & Aila, 2019), https://arxiv.org/abs/1904.06991;
        Reliable Fidelity and Diversity Metrics for Generative Models (Naeem, Oh, Uh, Choi
        & Yoo, 2020), https://arxiv.org/abs/2002.09797.
    """
    r, f = as_pair(real, fake)
    reach_r, reach_f = (nearest(s, s, k, exclude_self=True).distance[:, -1] ** 2 * _TOUCH for s in (r, f))
    holders = np.zeros(len(f))
    covered, recalled = np.zeros(len(r), dtype=bool), np.zeros(len(r), dtype=bool)
    for rows, squared in distance_chunks(r, f):
        inside = squared <= reach_r[rows, None]
        holders += inside.sum(axis=0)
        covered[rows] = inside.any(axis=1)
        recalled[rows] = (squared <= reach_f[None, :]).any(axis=1)
    return Manifold(
        precision=float((holders > 0).mean()),
        recall=float(recalled.mean()),
        density=float(holders.mean() / k),
        coverage=float(covered.mean()),
    )
