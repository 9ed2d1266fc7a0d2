"""Counter-based random numbers: every draw is a pure function of (key of the row, name of the draw, element).

A generator with state makes sample i depend on the batch it was drawn in, and a
resumed run depend on how often it was interrupted. Here each row carries its own
64-bit key and each draw has a name; nothing is consumed, so the same row gives
the same numbers at any batch size, on any rank, after any number of resumes.

The mixing function is SplitMix64's finalizer:
Fast Splittable Pseudorandom Number Generators (Steele, Lea & Flood, 2014),
https://doi.org/10.1145/2714064.2660195. Not for cryptography.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["Rng"]

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_FOLD = 0xD1342543DE82EF95
_DRAW = "(Tensor keys, int count, bool double) -> Tensor"


def _mix(z: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """SplitMix64's finalizer on a fresh int64 tensor, in place (wrapping products, logical shifts by masking)."""
    z = z.bitwise_xor_((z >> 30).bitwise_and_((1 << 34) - 1)).mul_(_MIX_1)
    z = z.bitwise_xor_((z >> 27).bitwise_and_((1 << 37) - 1)).mul_(_MIX_2)
    return z.bitwise_xor_((z >> 31).bitwise_and_((1 << 33) - 1))


# Opaque to torch.compile: Inductor of torch 2.13 miscompiles chains of these int64 operations on CPUs
# (wrong values, heap corruption); as one operator they stay eager, exact and without a graph break.
@torch.library.custom_op("headwater::lanes", mutates_args=(), schema="(Tensor keys, int count) -> Tensor")
def _lanes(keys: Tensor, count: int) -> Tensor:
    return _mix(keys[:, None] + torch.arange(1, count + 1, device=keys.device) * _GOLDEN)


@torch.library.custom_op("headwater::uniform", mutates_args=(), schema=_DRAW)
def _uniform(keys: Tensor, count: int, double: bool) -> Tensor:
    if double:
        high = (_lanes(keys, count) >> 12).bitwise_and_((1 << 52) - 1)
        return high.to(torch.float64).add_(0.5).mul_(2.0**-52)
    lanes = _lanes(keys, (count + 1) // 2)  # two draws from each 64 bits
    halves = [(lanes >> shift).bitwise_and_((1 << 23) - 1).to(torch.float32) for shift in (41, 9)]
    return torch.cat(halves, dim=1)[:, :count].add(0.5).mul_(2.0**-23)


@torch.library.custom_op("headwater::normal", mutates_args=(), schema=_DRAW)
def _normal(keys: Tensor, count: int, double: bool) -> Tensor:
    return torch.erfinv(_uniform(keys, count, double).mul_(2).sub_(1)).mul_(math.sqrt(2))


@torch.library.custom_op("headwater::fold", mutates_args=(), schema="(Tensor keys, Tensor data) -> Tensor")
def _fold(keys: Tensor, data: Tensor) -> Tensor:
    return _mix(keys ^ ((data + 1) * _signed(_FOLD)))


@torch.library.custom_op("headwater::keep", mutates_args=(), schema="(Tensor keys, int count, int dropped) -> Tensor")
def _keep(keys: Tensor, count: int, dropped: int) -> Tensor:
    octets = _lanes(keys, (count + 7) // 8).view(torch.uint8)[:, :count]
    return (octets >= dropped).t().to(torch.float32, memory_format=torch.contiguous_format).mul_(256 / (256 - dropped))


@_keep.register_fake
def _(keys: Tensor, count: int, dropped: int) -> Tensor:
    return keys.new_empty(count, keys.shape[0], dtype=torch.float32)


@_lanes.register_fake
def _(keys: Tensor, count: int) -> Tensor:
    return keys.new_empty(keys.shape[0], count)


@_uniform.register_fake
def _(keys: Tensor, count: int, double: bool) -> Tensor:
    return keys.new_empty(keys.shape[0], count, dtype=torch.float64 if double else torch.float32)


@_normal.register_fake
def _(keys: Tensor, count: int, double: bool) -> Tensor:
    return keys.new_empty(keys.shape[0], count, dtype=torch.float64 if double else torch.float32)


@_fold.register_fake
def _(keys: Tensor, data: Tensor) -> Tensor:
    return torch.empty_like(keys)


def _hash(name: str) -> int:
    """FNV-1a over the characters, in plain arithmetic so that a compiler can fold it."""
    value = 0xCBF29CE484222325
    for character in name:
        value = ((value ^ ord(character)) * 0x100000001B3) & ((1 << 64) - 1)
    return value


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


@dataclass(frozen=True, eq=False)
class Rng:
    """One key per row. Draws are shaped ``(rows, *shape)``.

    >>> rng = Rng.of(seed=0, n=4)
    >>> rng.normal("noise", 3).shape
    torch.Size([4, 3])
    >>> bool((rng.normal("noise", 3)[1:2] == rng.rows(slice(1, 2)).normal("noise", 3)).all())
    True
    """

    keys: Int64[Tensor, " rows"]

    @staticmethod
    def of(seed: int, n: int, *, start: int = 0, device: torch.device | str = "cpu") -> Rng:
        """Keys for rows ``start .. start+n-1`` of a seed."""
        return Rng.at(seed, torch.arange(start, start + n, device=device))

    @staticmethod
    def at(seed: int, index: Int64[Tensor, " rows"]) -> Rng:
        """Keys for the rows with these indices of a seed."""
        base = _mix(torch.tensor(_signed(seed * 2 + 1), dtype=torch.int64, device=index.device))
        return Rng(_mix(base + (index + 1) * _GOLDEN))

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.keys.shape[0]

    def fold(self, name: str | int) -> Rng:
        """An independent stream of the same rows: for a sub-module, a solver's step, a player."""
        data = _hash(name) if isinstance(name, str) else name
        return self.fold_in(torch.tensor(_signed(data), device=self.keys.device))

    def fold_in(self, data: Int64[Tensor, ""]) -> Rng:
        """Like :meth:`fold` with a number held in a tensor, such as the training step."""
        return Rng(_fold(self.keys, data))

    def rows(self, index: slice | Int64[Tensor, " chosen"]) -> Rng:
        """The keys of some rows."""
        return Rng(self.keys[index])

    def repeat(self, copies: int) -> Rng:
        """Each row ``copies`` times in a row, every copy with a key of its own: ``(rows * copies,)``."""
        copy = torch.arange(copies, device=self.keys.device)
        return Rng(_mix(self.keys[:, None] + (copy + 1) * _GOLDEN).reshape(-1))

    def bits(self, name: str, *shape: int) -> Int64[Tensor, "rows *shape"]:
        """64 random bits per element."""
        return _lanes(self.fold(name).keys, math.prod(shape)).reshape(self.n, *shape)

    def dropout(self, name: str, share: float, count: int) -> Float[Tensor, "count rows"]:
        """Zero with probability ``share`` (in steps of 1/256, at most 255/256), else what makes the mean one.

        Rows stand last, as networks want them.

        >>> Rng.of(0, 1000).dropout("h", 0.5, 4).unique().tolist()
        [0.0, 2.0]
        """
        return _keep(self.fold(name).keys, count, min(255, round(256 * share)))

    def uniform(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "rows *shape"]:
        """Uniform on the open interval (0, 1): 2^23 midpoints, or 2^52 in float64."""
        draw = _uniform(self.fold(name).keys, math.prod(shape), dtype == torch.float64)
        return draw.to(dtype).reshape(self.n, *shape)

    def normal(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "rows *shape"]:
        """Standard normal, by the inverse of the normal distribution function."""
        draw = _normal(self.fold(name).keys, math.prod(shape), dtype == torch.float64)
        return draw.to(dtype).reshape(self.n, *shape)

    def gumbel(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "rows *shape"]:
        """Standard Gumbel; ``argmax(logits + gumbel)`` is a categorical draw."""
        return -torch.log(-torch.log(self.uniform(name, *shape, dtype=dtype)))

    def logistic(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "rows *shape"]:
        """Standard logistic."""
        u = self.uniform(name, *shape, dtype=dtype)
        return torch.log(u) - torch.log1p(-u)

    def categorical(self, name: str, logits: Float[Tensor, "rows *shape classes"]) -> Int64[Tensor, "rows *shape"]:
        """One draw per row and element from unnormalized log-probabilities."""
        return torch.argmax(logits + self.gumbel(name, *logits.shape[1:], dtype=logits.dtype), dim=-1)

    def bernoulli(self, name: str, p: Float[Tensor, "rows *shape"]) -> Float[Tensor, "rows *shape"]:
        """Zeros and ones with probability ``p`` of a one."""
        return (self.uniform(name, *p.shape[1:], dtype=p.dtype) < p).to(p.dtype)
