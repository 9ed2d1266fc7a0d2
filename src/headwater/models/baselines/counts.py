"""Smoothed counts: the distribution of one discrete element, shrunk from class to all, from fine to coarse, to uniform.

An element with more values than ``cells`` is counted in cells of neighbouring
values, frequent values in a cell of their own; within a cell all are alike.
"""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.events import Segment, Support
from headwater.models.baselines.held_out import Rows
from headwater.rng import Rng

__all__ = ["CountTables", "shrunk"]

_BLOCK = 8
_STRENGTHS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


def shrunk(
    counts: Float[Tensor, "*batch cells"], towards: Float[Tensor, "*batch cells"], strength: float
) -> Float[Tensor, "*batch cells"]:
    """``p_v = (n_v + a q_v) / (n + a)``: the mean under a Dirichlet prior of ``a`` pseudo-rows spread like ``q``."""
    return (counts + strength * towards) / (counts.sum(dim=-1, keepdim=True) + strength)


def _coarse(counts: Float[Tensor, "*batch cells"], width: int) -> Float[Tensor, "*batch cells"]:
    """Add-half smoothed shares of blocks of ``width`` neighbouring cells, spread evenly within each block."""
    cells = counts.shape[-1]
    blocks = math.ceil(cells / width)
    padded = torch.nn.functional.pad(counts, (0, blocks * width - cells))
    mass = padded.reshape(*padded.shape[:-1], blocks, width).sum(dim=-1) + 0.5
    size = torch.full((blocks,), float(width), dtype=counts.dtype)
    size[-1] = cells - (blocks - 1) * width
    share = mass / mass.sum(dim=-1, keepdim=True) / size
    return share.repeat_interleave(width, dim=-1)[..., :cells]


def _fit_of(seen: Float[Tensor, "*batch cells"], table: Float[Tensor, "*batch cells"]) -> float:
    return float((seen * torch.log(table.clamp(min=1e-300))).sum())


@final
class CountTables(nn.Module):
    """Tables ``p_cd(v)`` of the elements ``d`` of one discrete segment and the classes ``c``.

    Args:
        segment: A segment of support integer, binary or categorical.
        classes: Number of classes.
        cells: Most cells per element; categorical elements always have a cell per category.
    """

    log_mass: Float[Tensor, "classes elements cells"]
    edges: Float[Tensor, "elements edges"]

    def __init__(self, segment: Segment, classes: int, cells: int) -> None:
        super().__init__()
        levels = segment.cardinality
        assert levels is not None, f"{segment.support} is not countable"
        self.low = float(segment.low or 0) if segment.support is Support.INTEGER else 0.0
        self.levels, self.ordered = levels, segment.support is Support.INTEGER
        self.cells = levels if levels <= cells or not self.ordered else cells
        self.register_buffer("log_mass", torch.full((classes, segment.size, self.cells), -math.log(self.cells)))
        edges = torch.linspace(0, levels, self.cells + 1).floor() + self.low
        self.register_buffer("edges", edges.expand(segment.size, -1).clone())

    def fit(self, rows: Rows) -> None:
        """Count; the held-out rows choose the two strengths of the shrinkage."""
        if self.cells < self.levels:
            self.edges.copy_(self._cut(rows.all))
        trial, judge = self._counts(rows.trial), self._counts(rows.judge)
        a = max(_STRENGTHS, key=lambda a: _fit_of(judge, shrunk(trial, self._prior(trial), a)))
        counts = self._counts(rows.all)
        shared = shrunk(counts, self._prior(counts), a)
        if len(rows.classes) == 1:
            self.log_mass.copy_(torch.log(shared)[None])
            return
        pairs = [
            (self._counts(t), self._counts(j)) for t, j in zip(rows.trial_classes, rows.judge_classes, strict=True)
        ]
        b = max(_STRENGTHS, key=lambda b: sum(_fit_of(seen, shrunk(own, shared, b)) for own, seen in pairs))
        for c, own in enumerate(rows.classes):
            self.log_mass[c] = torch.log(shrunk(self._counts(own), shared, b)).to(self.log_mass.dtype)

    def _prior(self, counts: Float[Tensor, "elements cells"]) -> Float[Tensor, "elements cells"]:
        """Uniform over the values, or over neighbouring ones as often as these occur together."""
        if self.cells < self.levels or not self.ordered or self.levels <= 2 * _BLOCK:
            return ((self.edges[:, 1:] - self.edges[:, :-1]) / self.levels).double()
        return _coarse(counts, _BLOCK)

    def _cut(self, x: Float[Tensor, "rows elements"]) -> Float[Tensor, "elements edges"]:
        """Edges at quantiles; each quantile's own value gets a cell, so that heavy values are counted exactly."""
        ranks = torch.linspace(0, len(x) - 1, self.cells // 2 - 1, dtype=torch.float64).round().long()
        values = x.double().sort(dim=0).values[ranks].T
        end = torch.full((x.shape[1], self.cells + 1 - 2 * len(ranks)), self.low + self.levels, dtype=torch.float64)
        end[:, 0] = self.low
        edges = torch.cat([values, values + 1, end], dim=1).sort(dim=1).values
        fresh = torch.cat([torch.ones_like(edges[:, :1], dtype=torch.bool), edges[:, 1:] > edges[:, :-1]], dim=1)
        return torch.where(fresh, edges, self.low + self.levels).sort(dim=1).values

    def _cell(self, x: Float[Tensor, "rows elements"]) -> Int64[Tensor, "elements rows"]:
        if self.cells == self.levels:
            return (x.T - self.low).long().clamp(0, self.cells - 1)
        edges = self.edges[:, 1:-1].contiguous()
        return torch.searchsorted(edges, x.T.contiguous().to(edges.dtype), right=True)

    def _counts(self, x: Float[Tensor, "rows elements"]) -> Float[Tensor, "elements cells"]:
        counts = torch.zeros(x.shape[1], self.cells, dtype=torch.float64)
        cell = self._cell(x)
        return counts.scatter_add_(1, cell, torch.ones(cell.shape, dtype=torch.float64))

    def log_prob(self, x: Float[Tensor, "batch elements"]) -> Float[Tensor, "batch classes"]:
        """``sum_d log p_cd(x_d)`` for every class."""
        cell = self._cell(x)
        log_mass = self.log_mass - torch.log((self.edges[:, 1:] - self.edges[:, :-1]).clamp(min=1))
        index = cell.expand(log_mass.shape[0], -1, -1)
        return log_mass.gather(2, index).sum(dim=1).T

    def sample(self, label: Int64[Tensor, " n"], rng: Rng) -> Float[Tensor, "n elements"]:
        """Elements of each row's class, by inverting the distribution function."""
        elements, dtype = self.log_mass.shape[1], self.log_mass.dtype
        u = rng.uniform("cell", elements, dtype=dtype).T.contiguous()
        cell = torch.zeros_like(u, dtype=torch.int64)
        for c in range(self.log_mass.shape[0]):
            above = torch.cumsum(self.log_mass[c].double().exp(), dim=1)
            above = (above / above[:, -1:])[:, :-1].to(dtype).contiguous()
            cell = torch.where(label == c, torch.searchsorted(above, u, right=True), cell)
        first = self.edges.gather(1, cell)
        width = self.edges.gather(1, cell + 1) - first
        within = torch.floor(rng.uniform("within", elements, dtype=dtype).T * width).clamp(max=width - 1)
        return (first + within).T.to(dtype)

    def extra_repr(self) -> str:
        classes, elements, _ = self.log_mass.shape
        return f"classes={classes}, elements={elements}, levels={self.levels}, cells={self.cells}"
