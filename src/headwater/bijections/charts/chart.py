"""What a chart is: a map of a support to coordinates in which a flow can move them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Chart", "Coordinate"]


class Coordinate(StrEnum):
    """A real number, an angle in ``[0, 2 pi)``, or a number in ``[-1, 1]``."""

    LINE = "line"
    CIRCLE = "circle"
    BOX = "box"


class Chart(nn.Module, ABC):
    """A bijection, up to a set of measure zero, of points of a support and their coordinates.

    The log-determinant is that of the coordinates' Lebesgue measure against the support's own measure:
    ``log p(x) = log p(u) + ladj``.

    Attributes:
        coordinates: What each coordinate is.
    """

    coordinates: tuple[Coordinate, ...]

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        """``(u, log|du/dx|)`` of each point."""

    @abstractmethod
    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        """The points with these coordinates, inside the support whatever rounding does."""
