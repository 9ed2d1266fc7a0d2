"""Codes of discrete elements as networks and heads take them, with slopes that stand for gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.bijections.shift import Code, interpolated
from headwater.distributions.heads import Heads
from headwater.events import EventSpec, Segment, Support
from headwater.networks.conv import ResidualConv
from headwater.networks.mlp import MLP

__all__ = ["CodeHeads", "Codes", "Conditioner", "Integer"]

Integer = Literal["auto", "logistic", "categorical"]


@dataclass(frozen=True)
class Codes:
    """Channels of codes ``0 .. K-1``: elements of a vector, or maps of a picture.

    Args:
        segments: The support of each channel, counted from zero.
        grid: Height and width of the maps; empty for a vector.
    """

    segments: tuple[Segment, ...]
    grid: tuple[int, ...] = ()

    @classmethod
    def of(cls, event: EventSpec, *, maps: bool) -> Codes:
        """The codes of an event: its elements one by one, or its channels as maps."""
        each = [_from_zero(segment) for segment in event.segments for _ in range(1 if maps else segment.size)]
        return cls(tuple(each) * event.shape[0], event.shape[1:]) if maps else cls(tuple(each))

    @property
    def event(self) -> EventSpec:
        """These channels as an event of their own."""
        size = self.grid[0] * self.grid[1] if self.grid else 1
        wide = tuple(segment.model_copy(update={"size": size}) for segment in self.segments)
        return EventSpec(shape=(len(wide), *self.grid), segments=wide)

    def take(self, channels: Sequence[int]) -> Codes:
        """Some channels."""
        return Codes(tuple(self.segments[channel] for channel in channels), self.grid)

    def squeezed(self) -> Codes:
        """Squares of 2 x 2 positions as four channels."""
        return Codes(tuple(s for s in self.segments for _ in range(4)), tuple(side // 2 for side in self.grid))

    @property
    def indivisible(self) -> bool:
        """Whether nothing can leave, or the next level could not squeeze what stays."""
        return any(side % 4 for side in self.grid) if self.grid else len(self.segments) < 2

    def sizes(self) -> Tensor:
        """``K`` of each channel, shaped to go with a batch."""
        sizes = torch.tensor([float(segment.cardinality or 0) for segment in self.segments])
        return sizes.reshape(-1, *(1 for _ in self.grid))


def _from_zero(segment: Segment) -> Segment:
    if segment.support is not Support.INTEGER:
        return segment.model_copy(update={"size": 1})
    return segment.model_copy(update={"size": 1, "low": 0.0, "high": float((segment.cardinality or 1) - 1)})


class CodeHeads(nn.Module):
    """Heads of codes as one flat row, whose values have slopes in the codes."""

    sizes: Float[Tensor, " elements"]
    owner: Int64[Tensor, " features"]

    def __init__(self, codes: Codes, mixtures: int = 1, integer: Integer = "auto") -> None:
        super().__init__()
        self.heads = Heads(codes.event, mixtures=mixtures, integer=integer)
        shape = (len(codes.segments), *codes.grid)
        self.register_buffer("sizes", codes.sizes().expand(shape).flatten().clone(), persistent=False)
        counts = torch.tensor(self.heads.feature_sizes)
        self.register_buffer("owner", torch.arange(len(counts)).repeat_interleave(counts), persistent=False)

    def features(self, z: Code) -> Float[Tensor, "batch features"]:
        """What networks see of the codes."""
        return interpolated(self.heads.features, z, self.sizes, self.owner)

    def log_prob(self, params: Float[Tensor, "batch numbers"], z: Code) -> Float[Tensor, "batch elements"]:
        """``log p(z_i | params_i)`` in nats."""
        return interpolated(lambda code: self.heads.log_prob(params, code), z, self.sizes)


class Conditioner(nn.Module):
    """Numbers per channel of some codes, read from other codes and the context: dense or convolutional."""

    def __init__(self, seen: Codes, out: int, *, context: int, zero_init: bool = False, **sizes: Any) -> None:
        super().__init__()
        self.heads = CodeHeads(seen)
        self.maps = (len(seen.segments), *seen.grid) if seen.grid else None
        network = ResidualConv if seen.grid else MLP
        entries = self.maps[0] if self.maps else sum(self.heads.heads.feature_sizes)
        self.network = network(entries, out, condition=context, zero_init=zero_init, **sizes)
        self.context = context

    def forward(self, z: Code, context: Tensor | None) -> Tensor:
        features = self.heads.features(z.map(lambda copy: copy.flatten(1)))
        if self.maps is not None:
            features = features.reshape(len(z.up), *self.maps)
        out: Tensor = self.network(features, context if self.context else None)
        return out.to(z.up.dtype)
