"""The learning rate as a pure function of the step and the budget."""

from __future__ import annotations

import math
from typing import Literal

__all__ = ["rate"]


def rate(step: int, total: int | None, *, warmup: int, kind: Literal["constant", "cosine", "linear"]) -> float:
    r"""The factor in (0, 1] on the learning rate at step ``t`` of ``T``.

    .. math:: \min\left(1, \frac{t+1}{w}\right) \cdot a(u), \qquad u = \frac{\max(t-w, 0)}{\max(T-w, 1)}

    with ``a(u)`` = 1, ``(1 + cos(pi u)) / 2`` or ``1 - u``. The warm-up ``w`` is at most a
    tenth of the budget. While ``T`` is unknown (minutes not yet turned into steps) ``u = 0``.

    Reference:
        SGDR: Stochastic Gradient Descent with Warm Restarts (Loshchilov & Hutter, 2017),
        https://arxiv.org/abs/1608.03983, equation 5 without restarts.

    >>> [round(rate(t, 100, warmup=2, kind="linear"), 3) for t in (0, 1, 2, 51)]
    [0.5, 1.0, 1.0, 0.5]
    """
    w = warmup if total is None else min(warmup, total // 10)
    rise = min(1.0, (step + 1) / max(w, 1))
    if total is None:
        return rise
    u = min(1.0, max(step - w, 0) / max(total - w, 1))
    match kind:
        case "constant":
            fall = 1.0
        case "cosine":
            fall = 0.5 * (1.0 + math.cos(math.pi * u))
        case "linear":
            fall = 1.0 - u
    return rise * fall
