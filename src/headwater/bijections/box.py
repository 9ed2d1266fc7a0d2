"""What the piecewise maps share: a box cut into bins, one bin per element, the identity outside."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Bin", "Knots", "bin_of", "knots", "least_share", "pick", "pick_bin", "shares"]

LEAST_BIN = 5e-3
"""Least share of a bin in its box: bounds slopes, and with them the loss of precision."""


class Knots(NamedTuple):
    """Both ends of every bin."""

    left: Float[Tensor, "*shape bins"]
    right: Float[Tensor, "*shape bins"]


def least_share(bins: int) -> float:
    """:data:`LEAST_BIN`, or half of an even share where bins are many."""
    return min(LEAST_BIN, 0.5 / bins)


def shares(logits: Float[Tensor, "*shape bins"]) -> Float[Tensor, "*shape bins"]:
    """Positive shares that sum to one, none below :func:`least_share`."""
    bins = logits.shape[-1]
    least = least_share(bins)
    return least + (1 - bins * least) * torch.softmax(logits, dim=-1)


def knots(parts: Float[Tensor, "*shape bins"], bound: float) -> Knots:
    """``-bound = k_0 < ... < k_K = bound`` from shares; the ends exactly."""
    inner = 2 * bound * torch.cumsum(parts[..., :-1], dim=-1) - bound
    end = torch.full_like(parts[..., :1], bound)
    return Knots(torch.cat([-end, inner], dim=-1), torch.cat([inner, end], dim=-1))


def bin_of(value: Float[Tensor, "*shape"], at: Knots) -> Bool[Tensor, "*shape bins"]:
    """One-hot: which bin holds the value (inside the box). A gather's backward pass would be a scatter."""
    above = value[..., None] >= at.left[..., 1:]
    yes = torch.ones_like(value[..., None], dtype=torch.bool)
    return torch.cat([yes, above], dim=-1) & ~torch.cat([above, ~yes], dim=-1)


def pick(here: Bool[Tensor, "*shape bins"], values: Float[Tensor, "*shape bins"]) -> Float[Tensor, "*shape"]:
    """The value of the bin."""
    return (values * here.to(values.dtype)).sum(dim=-1)


class Bin(NamedTuple):
    """The bin that each element falls into: its ends on both axes and the slopes there."""

    x0: Float[Tensor, "*shape"]
    x1: Float[Tensor, "*shape"]
    y0: Float[Tensor, "*shape"]
    y1: Float[Tensor, "*shape"]
    d0: Float[Tensor, "*shape"]
    d1: Float[Tensor, "*shape"]


def pick_bin(here: Bool[Tensor, "*shape bins"], x: Knots, y: Knots, slopes: Knots) -> Bin:
    """Ends and slopes of the bin."""
    return Bin(*(pick(here, ends) for pair in (x, y, slopes) for ends in pair))
