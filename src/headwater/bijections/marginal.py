"""One spline for many elements that starts where the data are: narrow peaks wide, empty stretches narrow."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection, DataDependent
from headwater.bijections.box import LEAST_BIN, Bin, Knots, knots, shares
from headwater.bijections.histogram import adaptive_histogram
from headwater.bijections.located_bin import MAX_SLOPE
from headwater.bijections.rational_quadratic import end_slopes, in_bin, in_bin_inverse

__all__ = ["Marginal"]

_CELLS = 800
_FROM_DATA = 0.5
_SPARE = 1.02
_SPREAD = 0.01


class Marginal(Bijection, DataDependent):
    """``z_i = g(x_i; θ_k)`` for the elements ``i`` of group ``k``: rational-quadratic splines, no context.

    :meth:`fit` lays the knots by a histogram of a batch and carries each bin to the mean of its share of the data
    and its share of the box: a value that most elements have, such as the black of a background, is a narrow peak of
    the density, and the layers after this one see a wide stretch. Before it, the splines are close to the identity.
    Log-determinants are the sums of the log-slopes.

    Args:
        features: Length of the vector.
        groups: Number of equal runs of consecutive elements with a spline each.
        bins: Bins of a spline.
        bound: The splines act on ``[-bound, bound]``, beyond is the identity.
    """

    first: Int64[Tensor, "groups 1"]

    def __init__(self, features: int, groups: int = 1, *, bins: int = 32, bound: float = 4.0) -> None:
        super().__init__()
        assert features % groups == 0, "groups must have equal size"
        assert bins * LEAST_BIN * _SPARE <= 1, "too many bins"
        self.groups, self.bins, self.bound = groups, bins, bound
        self.register_buffer("first", bins * torch.arange(groups)[:, None], persistent=False)
        self.theta = nn.Parameter(_SPREAD * torch.randn(groups, 3 * bins - 1))

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "batch features"]) -> None:
        for theta, values in zip(self.theta, self._grouped(x).unbind(1), strict=True):
            cells = torch.histc(values.double().clamp(-self.bound, self.bound), _CELLS, -self.bound, self.bound)
            width = np.full(_CELLS, 2 * self.bound / _CELLS)
            least = 2 * self.bound * LEAST_BIN * _SPARE
            theta.copy_(_parameters(*adaptive_histogram(cells.cpu().numpy(), width, self.bins, least)))

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return self._carry(x, inverse=False)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return self._carry(z, inverse=True)

    def _carry(self, value: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        grouped = self._grouped(value)
        clipped = grouped.clamp(-self.bound, self.bound)
        xs, ys, ds = self._knots(value.dtype)
        starts = (ys if inverse else xs).left[:, None, 1:]
        place = (clipped[..., None] >= starts).sum(dim=-1) + self.first
        # looked up, not multiplied: a product would round the knots where products are in low precision
        table = torch.stack([*xs, *ys, *ds], dim=-1).flatten(0, 1)
        at = Bin(*nn.functional.embedding(place, table).unbind(dim=-1))
        moved, ladj = in_bin_inverse(clipped, at) if inverse else in_bin(clipped, at)
        inside = grouped.abs() < self.bound
        ladj = torch.where(inside, ladj, torch.zeros_like(ladj))
        return torch.where(inside, moved, grouped).flatten(1), ladj.sum(dim=(1, 2))

    def _grouped(self, x: Tensor) -> Float[Tensor, "batch groups members"]:
        return x.reshape(x.shape[0], self.groups, -1)

    def _knots(self, dtype: torch.dtype) -> tuple[Knots, Knots, Knots]:
        widths, heights, slopes = torch.split(self.theta.to(dtype), [self.bins, self.bins, self.bins - 1], dim=-1)
        return (
            knots(shares(widths), self.bound),
            knots(shares(heights), self.bound),
            end_slopes(slopes, self.bins),
        )

    def extra_repr(self) -> str:
        return f"groups={self.groups}, bins={self.bins}, bound={self.bound:g}"


def _parameters(mass: np.ndarray, width: np.ndarray) -> Float[Tensor, " size"]:
    """Those of the spline with bins of these widths, carried to the mean of both shares; straight in the heavy bins."""
    mass, width = mass / mass.sum(), width / width.sum()
    height = _FROM_DATA * mass + (1 - _FROM_DATA) * width
    slope = height / width
    at_knots = np.log(np.where(mass[1:] > mass[:-1], slope[1:], slope[:-1]))
    bound = math.log(MAX_SLOPE)
    raw = np.clip(at_knots, -0.9 * bound, 0.9 * bound)
    raw = raw / (1 - np.abs(raw) / bound)
    return torch.from_numpy(np.concatenate([_logits(width), _logits(height), raw]))


def _logits(share: np.ndarray) -> np.ndarray:
    """What :func:`~headwater.bijections.box.shares` turns into these shares, as nearly as its least one allows."""
    least = min(LEAST_BIN, 0.5 / len(share))
    return np.asarray(np.log(np.maximum(share - least, 1e-4)))
