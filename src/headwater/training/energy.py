"""The energy distance between two samples: a figure to watch where the loss says nothing about quality."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["energy_distance"]


def energy_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m d"]) -> Float[Tensor, ""]:
    r"""The unbiased estimate of the energy distance; zero in expectation for equal distributions.

    .. math:: 2\,E|X - Y| - E|X - X'| - E|Y - Y'|, \qquad |x| = \|x\|_2 / \sqrt{d}

    Args:
        x, y: Samples, one event per row, n, m >= 2; in units of the events.

    Reference:
        Energy statistics: A class of statistics based on distances (Szekely & Rizzo, 2013),
        https://doi.org/10.1016/j.jspi.2013.03.018.

    >>> float(energy_distance(torch.zeros(4, 1), torch.ones(3, 1)))
    2.0
    """
    n, m, scale = len(x), len(y), x.shape[1] ** -0.5
    between = torch.cdist(x, y).mean()
    within_x = torch.cdist(x, x).sum() / (n * (n - 1))
    within_y = torch.cdist(y, y).sum() / (m * (m - 1))
    return scale * (2 * between - within_x - within_y)
