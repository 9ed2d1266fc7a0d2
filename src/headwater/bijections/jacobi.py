"""Jacobi iteration: the inverse of an autoregressive map by updating all of its steps at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["jacobi"]


@torch.no_grad()
def jacobi(
    update: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    x: Float[Tensor, "batch features"],
    passes: int,
    tolerance: float,
) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
    """``x <- g^-1(z; θ(x))`` until nothing moves by more than ``tolerance``.

    After pass ``k`` the first ``k`` steps are right, whatever the start, so that as many passes as steps are exact.
    A row that has arrived is left alone and costs no more: its result does not depend on the batch.

    Accelerating Feedforward Computation via Parallel Nonlinear Equation Solving (Song, Meng, Liao & Ermon, 2021),
    https://arxiv.org/abs/2002.03629.

    Args:
        update: ``(rows, x)`` to the next guess and the log-determinant of these rows.
        x: First guess.
        passes: Steps of the map.
        tolerance: Largest move of a row that has arrived; 0: until it repeats.
    """
    x, ladj = x.clone(), x.new_zeros(x.shape[0])
    rows: Int64[Tensor, " active"] = torch.arange(x.shape[0], device=x.device)
    for _ in range(passes):
        if not len(rows):
            break
        guess, ladj[rows] = update(rows, x[rows])
        moved = (guess - x[rows]).abs().amax(dim=1) > tolerance
        x[rows] = guess
        rows = rows[moved]
    return x, ladj
