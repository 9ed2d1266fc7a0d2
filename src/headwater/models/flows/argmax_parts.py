"""Which reals stand for which elements of a mixed row: alike elements share one part."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from headwater.bijections.threshold import argmax_threshold, cell_threshold, sign_threshold
from headwater.events import EventSpec, Segment, Support
from headwater.rng import Rng

__all__ = ["Categories", "Part", "parts_of"]

Categories = Literal["argmax", "digits", "cells"]

_HALF_COUNT = 0.5


class Part(nn.Module, ABC):
    """Elements ``x`` and the reals ``v`` that stand for them: ``x = drop(v)``.

    For continuous elements ``drop`` is a bijection. For discrete ones it is not, and :meth:`lift`
    carries free noise ``u`` to a ``v`` with ``drop(v) = x``, onto all of them or all but a null set.

    Attributes:
        width: Number of reals.
        noise: Number of ``u``; 0 for continuous elements.
    """

    width: int
    noise: int

    @abstractmethod
    def lift(
        self, x: Float[Tensor, "batch k"], u: Float[Tensor, "batch noise"], rng: Rng
    ) -> tuple[Float[Tensor, "batch width"], Float[Tensor, " batch"]]:
        """``v`` and ``log|dv/du|`` (``log|dv/dx|`` where continuous), less the log-probability of coins it tossed."""

    @abstractmethod
    def drop(self, v: Float[Tensor, "batch width"]) -> Float[Tensor, "batch k"]:
        """The elements that ``v`` stands for, inside their supports."""

    @abstractmethod
    def fit(self, x: Float[Tensor, "batch k"]) -> None:
        """Set the parameters, if there are any, from events."""


@final
class Continuous(Part):
    """Reals as they are, ``log x`` of positive ones, ``logit`` of ones in an interval."""

    low: Tensor
    span: Tensor

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__()
        self.width, self.noise = len(segments), 0
        self.support = segments[0].support
        low, high = ([float(getattr(s, end) or 0.0) for s in segments] for end in ("low", "high"))
        self.register_buffer("low", torch.tensor(low), persistent=False)
        self.register_buffer("span", torch.tensor(high) - torch.tensor(low), persistent=False)

    def lift(self, x: Tensor, u: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        if self.support is Support.REAL:
            return x, x.new_zeros(len(x))
        if self.support is Support.POSITIVE:
            v = torch.log(x.clamp_min(torch.finfo(x.dtype).tiny))
            return v, -v.sum(dim=1)
        eps = torch.finfo(x.dtype).eps  # the closed ends have no logit
        w = ((x - self.low) / self.span).clamp(eps, 1 - eps)
        return torch.logit(w), -(torch.log(w) + torch.log1p(-w) + torch.log(self.span)).sum(dim=1)

    def drop(self, v: Tensor) -> Tensor:
        if self.support is Support.REAL:
            return v
        if self.support is Support.POSITIVE:
            largest = math.log(torch.finfo(v.dtype).max) - 2
            return torch.exp(v.clamp(-largest, largest))
        return torch.minimum(self.low + self.span * torch.sigmoid(v), self.low + self.span)

    def fit(self, x: Tensor) -> None:
        """Nothing to set."""


@final
class Argmax(Part):
    """Categories: as many reals as classes, of which the greatest says the class."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__()
        self.classes = segments[0].cardinality or 1
        self.width = self.noise = len(segments) * self.classes

    def lift(self, x: Tensor, u: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        chosen = (x[..., None] == torch.arange(self.classes, dtype=x.dtype, device=x.device)).to(u.dtype)
        v, ladj = argmax_threshold(u.reshape(chosen.shape), chosen)
        return v.flatten(1), ladj.sum(dim=1)

    def drop(self, v: Tensor) -> Tensor:
        return v.reshape(len(v), -1, self.classes).argmax(dim=-1).to(v.dtype)

    def fit(self, x: Tensor) -> None:
        """Nothing to set."""


@final
class Digits(Part):
    """Categories and coins: a real per binary digit, above zero where it is one (the paper's Cartesian product).

    ``M`` digits write ``2^M`` numbers, ``K <= 2^M < 2K`` of which are needed (two where ``K = 1``). All stand for
    ``x = number mod K``, so that no probability is lost; a class with two numbers is lifted to either with
    probability 1/2.
    """

    classes: Float[Tensor, " k"]
    place: Float[Tensor, " digits"]

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__()
        self.digits = max(1, math.ceil(math.log2(segments[0].cardinality or 1)))
        self.width = self.noise = len(segments) * self.digits
        self.register_buffer("classes", torch.tensor([float(s.cardinality or 1) for s in segments]), persistent=False)
        self.register_buffer("place", 2.0 ** torch.arange(self.digits), persistent=False)

    def lift(self, x: Tensor, u: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        twice = (x + self.classes < 2**self.digits).to(x.dtype)
        coin = (rng.uniform("coin", x.shape[1]) < 0.5).to(x.dtype)
        number = x + self.classes * twice * coin
        bits = torch.remainder(torch.floor(number[..., None] / self.place), 2).flatten(1)
        v, ladj = sign_threshold(u, bits)
        return v, ladj.sum(dim=1) + math.log(2) * twice.sum(dim=1)

    def drop(self, v: Tensor) -> Tensor:
        bits = (v > 0).to(v.dtype).reshape(len(v), -1, self.digits)
        return torch.remainder((bits * self.place).sum(dim=-1), self.classes)

    def fit(self, x: Tensor) -> None:
        """Nothing to set."""


@final
class Cells(Part):
    """Whole numbers, and categories in their order: a real each, cut into a cell per value whose length is learned.

    :meth:`fit` gives each value a cell as long as it is frequent, so that the noise starts out of one shape.
    """

    low: Float[Tensor, " k"]
    spare: Bool[Tensor, "k most"]

    def __init__(self, segments: Sequence[Segment]) -> None:
        super().__init__()
        self.width = self.noise = len(segments)
        counts = torch.tensor([s.cardinality or 1 for s in segments])
        whole = [s.low or 0.0 if s.support is Support.INTEGER else 0.0 for s in segments]
        self.register_buffer("low", torch.tensor(whole), persistent=False)
        spare = torch.arange(int(counts.max())) >= counts[:, None]
        self.register_buffer("spare", spare, persistent=False)
        self.log_share = nn.Parameter(torch.zeros(spare.shape))

    def _log_shares(self) -> Tensor:
        return torch.log_softmax(self.log_share.masked_fill(self.spare, -torch.inf), dim=1)

    def lift(self, x: Tensor, u: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        code = (x - self.low).long().T
        shares = self._log_shares().exp().to(x.dtype)
        below = shares.cumsum(dim=1) - shares
        above = shares.flip(1).cumsum(dim=1).flip(1) - shares
        v, ladj = cell_threshold(u, *(table.gather(1, code).T for table in (below, shares, above)))
        return v, ladj.sum(dim=1)

    def drop(self, v: Tensor) -> Tensor:
        ends = self._log_shares().exp().cumsum(dim=1)[:, :-1].to(v.dtype)
        code = torch.searchsorted(ends.contiguous(), torch.sigmoid(v).T.contiguous(), right=True)
        return torch.minimum(code, (~self.spare).sum(dim=1, keepdim=True) - 1).T.to(v.dtype) + self.low

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        code = (x - self.low).long()
        counts = (code[..., None] == torch.arange(self.spare.shape[1], device=x.device)).sum(dim=0)
        self.log_share.copy_(torch.log(counts + _HALF_COUNT))


def parts_of(event: EventSpec, categories: Categories) -> list[tuple[Part, list[int]]]:
    """The parts of an event, each with its elements in the flattened event."""
    elements = [segment for segment in event.segments for _ in range(segment.size)]
    groups: dict[tuple[type[Part], object], list[int]] = {}
    for index, segment in enumerate(elements):
        groups.setdefault(_key(segment, categories), []).append(index)
    return [(make([elements[i] for i in members]), members) for (make, _), members in groups.items()]


def _key(segment: Segment, categories: Categories) -> tuple[type[Part], object]:
    """Elements with equal keys share a part."""
    count = segment.cardinality or 0
    digits = max(1, math.ceil(math.log2(max(count, 1))))
    match segment.support:
        case Support.INTEGER:
            return Cells, digits
        case Support.BINARY:
            return Digits, 1
        case Support.CATEGORICAL:
            if categories == "argmax":
                return Argmax, count
            return (Digits, digits) if categories == "digits" else (Cells, digits)
        case _:
            return Continuous, segment.support
