"""Supports of one or two dimensions cut into cells of equal size: the middles, and the size of a cell."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["CELLS"]

_FINE, _COARSE = 4000, 160


def _middles(low: float, high: float, count: int) -> tuple[Tensor, float]:
    step = (high - low) / count
    return low + step * (torch.arange(count, dtype=torch.float64) + 0.5), step


def _interval() -> tuple[Tensor, float]:
    x, step = _middles(-1.0, 3.0, _FINE)
    return x[:, None], step


def _circle() -> tuple[Tensor, float]:
    x, step = _middles(0.0, 2 * math.pi, _FINE)
    return x[:, None], step


def _torus() -> tuple[Tensor, float]:
    x, step = _middles(0.0, 2 * math.pi, _COARSE)
    return torch.cartesian_prod(x, x), step * step


def _sphere() -> tuple[Tensor, float]:
    """Cylinders of one height have one area; the axis is the first one, as good as any other."""
    height, step = _middles(-1.0, 1.0, _COARSE)
    angle, turn = _middles(0.0, 2 * math.pi, _COARSE)
    h, t = torch.cartesian_prod(height, angle).T
    radius = (1 - h * h).sqrt()
    return torch.stack([h, radius * t.cos(), radius * t.sin()], dim=1), step * turn


def _simplex() -> tuple[Tensor, float]:
    """The triangle of the first two parts, cut into congruent triangles; the middle of each."""
    i, j = torch.cartesian_prod(torch.arange(_COARSE), torch.arange(_COARSE)).double().T
    upright, hanging = i + j < _COARSE, i + j < _COARSE - 1
    x = torch.cat([i[upright] + 1 / 3, i[hanging] + 2 / 3]) / _COARSE
    y = torch.cat([j[upright] + 1 / 3, j[hanging] + 2 / 3]) / _COARSE
    return torch.stack([x, y, 1 - x - y], dim=1), 0.5 / _COARSE**2


CELLS: dict[str, Callable[[], tuple[Tensor, float]]] = {
    "interval": _interval,
    "circle": _circle,
    "torus": _torus,
    "sphere": _sphere,
    "simplex": _simplex,
}
"""By the name of the case; sizes are those of the measures that densities are with respect to."""
