"""Where parameters may lie, and the map from unbounded reals to there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from headwater.errors import DataError

__all__ = ["Support"]


class Support(nn.Module):
    r"""``θ = T(u)`` per parameter, from standardized reals to a line, a half-line or an interval.

    With :math:`v = m + s u`: :math:`θ = v`, :math:`θ = a + e^v`, :math:`θ = b - e^v` or
    :math:`θ = a + (b - a)/(1 + e^{-v})`. No posterior mass can leak out of bounds that are given here.

    Args:
        low, high: Bounds ``a`` and ``b`` per parameter; infinite for none.

    Raises:
        DataError: a lower bound that is not below the upper one.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, low: Sequence[float], high: Sequence[float]) -> None:
        super().__init__()
        if len(low) != len(high) or not all(a < b for a, b in zip(low, high, strict=True)):
            raise DataError(f"Expected as many lower as upper bounds, each below its own, got {low} and {high}.")
        self.register_buffer("low", torch.tensor(low, dtype=torch.float64))
        self.register_buffer("high", torch.tensor(high, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(len(low), dtype=torch.float64))
        self.register_buffer("std", torch.ones(len(low), dtype=torch.float64))

    @property
    def _kinds(self) -> tuple[Tensor, Tensor]:
        return torch.isfinite(self.low), torch.isfinite(self.high)

    def inside(self, theta: Float[Tensor, "*batch parameters"]) -> Bool[Tensor, "*batch"]:
        """Whether all parameters lie strictly within their bounds."""
        return ((theta > self.low) & (theta < self.high)).all(dim=-1)

    @torch.no_grad()
    def fit(self, theta: Float[Tensor, "n parameters"]) -> None:
        """Set ``m`` and ``s`` so that these parameters become standardized.

        Raises:
            DataError: a parameter is on or beyond its bounds, or the same in all rows.
        """
        outside = int((~self.inside(theta)).sum())
        if outside:
            raise DataError(
                f"{outside} of {len(theta)} rows of parameters are on or beyond the bounds low={self.low.tolist()}, "
                f"high={self.high.tolist()}.",
                hint="Give the bounds of the prior, or leave them out.",
            )
        v = self._free(theta.double())
        std = v.std(dim=0)
        if not bool((std > 0).all()):
            raise DataError(f"Parameter {int(std.argmin())} is the same in all rows: nothing can be inferred of it.")
        self.mean.copy_(v.mean(dim=0))
        self.std.copy_(std)

    def _free(self, theta: Tensor) -> Tensor:
        below, above = self._kinds
        left = torch.where(below, theta - self.low, 1.0).log()
        right = torch.where(above, self.high - theta, 1.0).log()
        return torch.where(below | above, left - torch.where(below, right, -right), theta)

    def to_real(self, theta: Float[Tensor, "*batch parameters"]) -> Float[Tensor, "*batch parameters"]:
        """``u``, of parameters within their bounds."""
        u: Tensor = (self._free(theta.double()) - self.mean) / self.std
        return u.to(theta.dtype)

    def from_real(
        self, u: Float[Tensor, "*batch parameters"]
    ) -> tuple[Float[Tensor, "*batch parameters"], Float[Tensor, "*batch"]]:
        """``θ`` and ``log|det dθ/du|``."""
        below, above = self._kinds
        v = self.mean + self.std * u.double()
        width = torch.where(below & above, self.high - self.low, 1.0)
        low, high = torch.where(below, self.low, 0.0), torch.where(above, self.high, 0.0)
        both = low + width * torch.sigmoid(v)
        one = torch.where(below, low + v.exp(), high - v.exp())
        theta = torch.where(below & above, both, torch.where(below | above, one, v))
        slope = torch.where(below & above, width.log() + functional.logsigmoid(v) + functional.logsigmoid(-v), v)
        ladj = torch.where(below | above, slope, 0.0) + self.std.log()
        return theta.to(u.dtype), ladj.sum(dim=-1).to(u.dtype)

    def extra_repr(self) -> str:
        bounded = int(torch.isfinite(self.low).sum() + torch.isfinite(self.high).sum())
        return f"{len(self.low)} parameters, {bounded} bounds"
