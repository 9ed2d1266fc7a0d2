"""From training values to the buffers of a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from headwater.data.codecs.codes import Codes, GappedCodes
from headwater.data.codecs.constant import Constant
from headwater.data.codecs.kept import Kept, Points
from headwater.data.codecs.lattice import Cells, Lattice, fit_cells, pad_cells
from headwater.data.codecs.race import Race, class_shares
from headwater.data.codecs.spline import fit_knots, pad_knots
from headwater.data.codecs.standard import Continuous, Shape, to_line

if TYPE_CHECKING:
    from headwater.data.codecs.plan import Group, Member

__all__ = ["fit_codes", "fit_constant", "fit_continuous", "fit_kept", "fit_lattice", "fit_points", "fit_race", "wild"]

_TINY = 1e-300
_WILD = 1e4


def wild(values: np.ndarray) -> bool:
    """Whether a value lies more than ten thousand robust standard deviations out: mean and variance mean nothing.

    >>> wild(np.append(np.arange(100.0), 1e30))
    True
    """
    if len(values) < 3:
        return False
    spread = values.std()
    if np.isfinite(spread) and np.abs(values - values.mean()).max() <= 9 * spread:
        return False
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return bool(np.abs(values - middle).max() > _WILD * max((high - low) / 1.35, _TINY) and high > low)


def fit_constant(members: Sequence[Member], group: Group) -> Constant:
    """The one value of each column."""
    values = [float(m.present[0]) if len(m.present) else (m.column.low or np.nan) for m in members]
    return Constant([m.index for m in members], values=torch.tensor(values, dtype=torch.float64))


def fit_codes(members: Sequence[Member], group: Group) -> Codes:
    """Nothing to fit but where codes start."""
    flags = group.reads == "missing"
    numbers = group.support == "integer" and not flags
    origin = [m.column.low if numbers and m.column.low is not None else 0.0 for m in members]
    step = [m.column.step if numbers else 1.0 for m in members]
    made = GappedCodes if group.gapped else Codes
    return made(
        [m.index for m in members],
        reads=group.reads,
        support=str(group.support),
        classes=group.classes,
        missing=group.missing,
        origin=_vector(origin),
        step=_vector(step),
    )


def fit_race(members: Sequence[Member], group: Group) -> Race:
    """Class frequencies; a missing value is the last class."""
    shares = [class_shares(np.where(np.isnan(m.values), group.classes - 1, m.values), group.classes) for m in members]
    return Race([m.index for m in members], missing=group.missing, shares=torch.from_numpy(np.stack(shares)))


class _Column(NamedTuple):
    """One fitted column of a lattice; ``rank`` is the cell of each code, None where codes are in order."""

    origin: float
    step: float
    cells: Cells
    rank: np.ndarray | None


def fit_lattice(members: Sequence[Member], group: Group) -> Lattice:
    """Distribution functions of the columns' cells."""
    columns = [_fit_column(member, group) for member in members]
    ranks = [column.rank for column in columns if column.rank is not None]
    return Lattice(
        [m.index for m in members],
        reads=group.reads,
        missing=group.missing,
        origin=_vector([column.origin for column in columns]),
        step=_vector([column.step for column in columns]),
        order=torch.from_numpy(np.stack(ranks)) if ranks else torch.zeros(0, dtype=torch.int64),
        **pad_cells([column.cells for column in columns]),
    )


def _fit_column(member: Member, group: Group) -> _Column:
    column, bounded = member.column, group.support != "open"
    if group.reads == "missing":
        return _Column(0.0, 1.0, fit_cells(np.isnan(member.values) * 1.0, cells=2), None)
    if column.categories or column.type == "binary":
        codes, rank = member.present, None
        if group.support == "ordered":
            rank = _by_frequency(codes, group.classes)
            codes = rank[codes.astype(np.int64)]
        return _Column(0.0, 1.0, fit_cells(codes, cells=column.cardinality), rank)
    nonnegative = column.type == "integer" and column.low is not None and column.low >= 0
    origin = 0.0 if nonnegative and not bounded else column.low or 0.0
    codes = np.round((member.present - origin) / column.step)
    codes = codes if len(codes) else np.zeros(1)
    cells = fit_cells(codes, cells=column.cardinality if bounded else None, nonnegative=nonnegative)
    return _Column(origin, column.step, cells, None)


def fit_continuous(members: Sequence[Member], group: Group) -> Continuous:
    """Shift and scale of each column, and a spline through its quantiles where the group is bent."""
    bounds = [(m.column.low, m.column.high) if group.support == "interval" else (0.0, 1.0) for m in members]
    low, high = _vector([b[0] or 0.0 for b in bounds]), _vector([1.0 if b[1] is None else b[1] for b in bounds])
    support: Shape = group.support  # type: ignore[assignment]
    shifts, scales, knots = [], [], []
    for i, member in enumerate(members):
        values = member.present if len(member.present) else np.ones(1)
        line = to_line(torch.from_numpy(values.astype(np.float64)), low[i], high[i], support)[0].numpy()
        shift, scale = _robust(line) if group.classes else (float(line.mean()), float(line.std()))
        scale = max(scale, _TINY) if np.ptp(line) > 0 else 1.0
        shifts.append(shift)
        scales.append(scale)
        if group.classes:
            knots.append(fit_knots((line - shift) / scale))
    empty = torch.zeros(0, dtype=torch.float64)
    x, z, d, last = pad_knots(knots) if knots else (empty, empty, empty, torch.zeros(0, dtype=torch.int64))
    return Continuous(
        [m.index for m in members],
        support=support,
        missing=group.missing,
        low=low,
        high=high,
        shift=_vector(shifts),
        scale=_vector(scales),
        knots=x,
        heights=z,
        slopes=d,
        last=last,
    )


def fit_kept(members: Sequence[Member], group: Group) -> Kept:
    """Nothing to fit but the ends."""
    low, high = _vector([m.column.low for m in members]), _vector([m.column.high for m in members])
    return Kept([m.index for m in members], support=group.support, missing=group.missing, low=low, high=high)


def fit_points(members: Sequence[Member], group: Group) -> Points:
    """Nothing to fit."""
    return Points([m.index for m in members], support=group.support)


def _robust(line: np.ndarray) -> tuple[float, float]:
    low, middle, high = np.quantile(line, [0.25, 0.5, 0.75])
    spread = (high - low) / 1.35
    return float(middle), float(spread if spread > 0 else min(float(np.ptp(line)), 1.0))


def _by_frequency(codes: np.ndarray, classes: int) -> np.ndarray:
    """The rank of each code, the most frequent first."""
    order = np.argsort(-np.bincount(codes.astype(np.int64), minlength=classes), kind="stable")
    rank = np.empty(classes, dtype=np.int64)
    rank[order] = np.arange(classes)
    return rank


def _vector(values: Sequence[float | None]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
