"""Charts of supports whose elements stand alone: reals, positive numbers, intervals, angles."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from headwater.bijections.charts.chart import Chart, Coordinate
from headwater.bijections.circular import TURN, wrap

__all__ = ["Angles", "Intervals", "Positives", "Reals"]


class Reals(Chart):
    """``u = x``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.coordinates = (Coordinate.LINE,) * size

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        return x, x.new_zeros(x.shape[0])

    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        return u


class Positives(Chart):
    """``x = exp(u)``, or ``x = log(1 + exp(u))``, which leaves large numbers as they are.

    Args:
        size: Number of elements.
        soft: Use the second.
    """

    def __init__(self, size: int, *, soft: bool = False) -> None:
        super().__init__()
        self.coordinates = (Coordinate.LINE,) * size
        self.soft = soft

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        if not self.soft:
            u = torch.log(x)
            return u, -u.sum(dim=1)
        u = x + torch.log(-torch.expm1(-x))
        return u, -logsigmoid(u).sum(dim=1)

    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        x = softplus(u) if self.soft else torch.exp(u)
        return x.clamp(min=torch.finfo(x.dtype).tiny)


class Intervals(Chart):
    """``u = 2 (x - low) / (high - low) - 1`` on closed intervals.

    Args:
        low: Lower ends.
        high: Upper ends.
    """

    def __init__(self, low: Float[Tensor, " size"], high: Float[Tensor, " size"]) -> None:
        super().__init__()
        self.coordinates = (Coordinate.BOX,) * len(low)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.low: Tensor
        self.high: Tensor

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        low, high = self.low.to(x.dtype), self.high.to(x.dtype)
        width = high - low
        u = ((x - low) - (high - x)) / width
        return u.clamp(-1, 1), torch.log(2 / width).sum().expand(x.shape[0])

    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        low, high = self.low.to(u.dtype), self.high.to(u.dtype)
        return torch.minimum(torch.maximum(0.5 * (low * (1 - u) + high * (1 + u)), low), high)


class Angles(Chart):
    """``u = 2 pi (x - low) / (high - low)`` on circles of circumference ``high - low``, cut at ``low``.

    Any real is an angle; samples lie in ``[low, high)``. The density is per unit of ``x``.

    Args:
        low: Where each circle is cut.
        high: The same place, a turn later.
    """

    def __init__(self, low: Float[Tensor, " size"], high: Float[Tensor, " size"]) -> None:
        super().__init__()
        self.coordinates = (Coordinate.CIRCLE,) * len(low)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("turn", high - low, persistent=False)
        self.low: Tensor
        self.turn: Tensor

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        low, turn = self.low.to(x.dtype), self.turn.to(x.dtype)
        return wrap((x - low) * (TURN / turn)), (math.log(TURN) - torch.log(turn)).sum().expand(x.shape[0])

    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        low, turn = self.low.to(u.dtype), self.turn.to(u.dtype)
        x = low + wrap(u) * (turn / TURN)
        return torch.where(x >= low + turn, low.expand_as(x), x)
