"""The charts of a whole row: which elements each reads, and the coordinates of all together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.charts.chart import Chart, Coordinate
from headwater.networks.columns import Columns

__all__ = ["Atlas", "Page"]


class Page(NamedTuple):
    """A chart and the elements that it reads, in its order."""

    chart: Chart
    elements: tuple[int, ...]


class Atlas(Chart):
    """Charts side by side; coordinates stand chart after chart.

    Args:
        pages: Charts that together read every element once.
    """

    def __init__(self, pages: Sequence[Page]) -> None:
        super().__init__()
        self.charts = torch.nn.ModuleList(page.chart for page in pages)
        coordinates: list[Coordinate] = [kind for page in pages for kind in page.chart.coordinates]
        self.coordinates = tuple(coordinates)
        flat = [element for page in pages for element in page.elements]
        assert sorted(flat) == list(range(len(flat))), "charts must read every element once"
        self.elements = torch.nn.ModuleList(Columns(page.elements, of=len(flat)) for page in pages)
        self.order = Columns.inverse(flat)

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        parts, total = [], x.new_zeros(x.shape[0])
        for chart, elements in zip(self.charts, self.elements, strict=True):
            u, ladj = chart(elements(x))
            parts.append(u)
            total = total + ladj
        return torch.cat(parts, dim=1), total

    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        parts, start = [], 0
        for chart in self.charts:
            assert isinstance(chart, Chart)
            stop = start + len(chart.coordinates)
            parts.append(chart.inverse(u[:, start:stop]))
            start = stop
        x: Tensor = self.order(torch.cat(parts, dim=1))
        return x
