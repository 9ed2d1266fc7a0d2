"""The charts of a whole row: which elements each reads, and the coordinates of all together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.charts.chart import Chart, Coordinate

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

    order: Tensor

    def __init__(self, pages: Sequence[Page]) -> None:
        super().__init__()
        self.charts = torch.nn.ModuleList(page.chart for page in pages)
        coordinates: list[Coordinate] = [kind for page in pages for kind in page.chart.coordinates]
        self.coordinates = tuple(coordinates)
        flat = [element for page in pages for element in page.elements]
        assert sorted(flat) == list(range(len(flat))), "charts must read every element once"
        for i, page in enumerate(pages):
            self.register_buffer(f"elements_{i}", torch.tensor(page.elements), persistent=False)
        self.register_buffer("order", torch.argsort(torch.tensor(flat)), persistent=False)

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        parts, total = [], x.new_zeros(x.shape[0])
        for i, chart in enumerate(self.charts):
            u, ladj = chart(x.index_select(1, getattr(self, f"elements_{i}")))
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
        return torch.cat(parts, dim=1).index_select(1, self.order)
