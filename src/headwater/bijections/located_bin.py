"""Bins of a rational-quadratic spline without autograd: find the one that holds a value, send gradients back to it.

Parameters stand first, as rows ``(3 K - 1, *shape)``: ``K`` log-widths, ``K`` log-heights, ``K - 1`` log-slopes.
The same is written twice. *Gathered* works on whole rows and suits eager execution, where
every operation costs a call. *Unrolled* names every bin, so that a compiler turns the spline into one
elementwise loop that reads each parameter once. Tests hold both equal to the plain spline.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headwater.bijections.box import least_share

__all__ = ["MAX_SLOPE", "EndGradients", "Located", "gather_bin", "gather_gradients", "unroll_bin", "unroll_gradients"]

MAX_SLOPE = 100.0
"""Slopes at the knots lie between its inverse and it."""

Axis = Literal[0, 1]


class Located(NamedTuple):
    """The bin that holds each element: its ends on both axes, the raw log-slopes there, and its number."""

    x0: Float[Tensor, "*shape"]
    x1: Float[Tensor, "*shape"]
    y0: Float[Tensor, "*shape"]
    y1: Float[Tensor, "*shape"]
    a0: Float[Tensor, "*shape"]
    a1: Float[Tensor, "*shape"]
    number: Int64[Tensor, "*shape"] | Float[Tensor, "*shape"]


class EndGradients(NamedTuple):
    """Gradients of a located bin: by its left ends, its sizes and its raw log-slopes."""

    x0: Float[Tensor, "*shape"]
    width: Float[Tensor, "*shape"]
    y0: Float[Tensor, "*shape"]
    height: Float[Tensor, "*shape"]
    a0: Float[Tensor, "*shape"]
    a1: Float[Tensor, "*shape"]


def _box(bins: int, bound: float) -> tuple[float, float]:
    """The least size of a bin and what the shares divide among them; as :func:`headwater.bijections.box.shares`."""
    least = least_share(bins)
    return 2 * bound * least, 2 * bound * (1 - bins * least)


def gather_bin(
    value: Float[Tensor, "*shape"], rows: Float[Tensor, "rows *shape"], bins: int, bound: float, axis: Axis
) -> Located:
    """The bin whose side on the axis (0: x, 1: y) holds the value, which lies in the box."""
    least, divided = _box(bins, bound)
    shares = torch.softmax(rows[: 2 * bins].view(2, bins, *rows.shape[1:]), dim=1)
    inner = torch.cumsum(shares[:, :-1] * divided + least, dim=1) - bound
    end = value.new_full((), bound).expand(2, 1, *value.shape)
    number = (value >= inner[axis]).sum(dim=0)
    both = torch.stack([number, number + 1])
    ends = torch.cat([-end, inner, end], dim=1).gather(1, both.expand(2, *both.shape))
    flat = value.new_zeros(()).expand(1, *value.shape)
    raw = torch.cat([flat, rows[2 * bins :], flat]).gather(0, both)
    return Located(ends[0, 0], ends[0, 1], ends[1, 0], ends[1, 1], raw[0], raw[1], number)


def gather_gradients(
    ends: EndGradients, rows: Float[Tensor, "rows *shape"], number: Int64[Tensor, "*shape"], bins: int, bound: float
) -> Float[Tensor, "rows *shape"]:
    """Gradients by the rows, from those of the bin with this number."""
    _, divided = _box(bins, bound)
    shares = torch.softmax(rows[: 2 * bins].view(2, bins, *rows.shape[1:]), dim=1)
    each = torch.arange(bins, device=number.device).reshape(bins, *[1] * number.ndim)
    here = each == number
    left, size = torch.stack([ends.x0, ends.y0])[:, None], torch.stack([ends.width, ends.height])[:, None]
    nothing = left.new_zeros(())
    by_size = torch.where(each < number, left, torch.where(here, size, nothing))
    by_logit = shares * (by_size - (shares * by_size).sum(dim=1, keepdim=True)) * divided
    by_slope = torch.where(here[1:], ends.a0, nothing) + torch.where(here[:-1], ends.a1, nothing)
    return torch.cat([by_logit.flatten(0, 1), by_slope])


def unroll_bin(
    value: Float[Tensor, "*shape"], rows: Float[Tensor, "rows *shape"], bins: int, bound: float, axis: Axis
) -> Located:
    """What :func:`gather_bin` gives, bin after bin; the number is a whole float."""
    least, divided = _box(bins, bound)
    each = rows.unbind(0)
    sizes = [[share * divided + least for share in _softmax(each[a * bins : (a + 1) * bins])] for a in (0, 1)]
    start, end, flat = (torch.full_like(value, at) for at in (-bound, bound, 0.0))
    knots = [start, start]
    raw = [flat, *each[2 * bins :], flat]
    found = [start, end, start, end, flat, raw[1], flat]
    for k in range(bins):
        after = [knot + size[k] for knot, size in zip(knots, sizes, strict=True)] if k < bins - 1 else [end, end]
        bin_ = [knots[0], after[0], knots[1], after[1], raw[k], raw[k + 1], flat + k]
        here = value >= knots[axis]
        found = [torch.where(here, new, old) for new, old in zip(bin_, found, strict=True)] if k else bin_
        knots = after
    return Located(*found)


def unroll_gradients(
    ends: EndGradients, rows: Float[Tensor, "rows *shape"], number: Float[Tensor, "*shape"], bins: int, bound: float
) -> Float[Tensor, "rows *shape"]:
    """What :func:`gather_gradients` gives, bin after bin."""
    _, divided = _box(bins, bound)
    nothing = torch.zeros_like(number)
    by_row = []
    for a, left, size in ((0, ends.x0, ends.width), (1, ends.y0, ends.height)):
        shares = _softmax(rows[a * bins : (a + 1) * bins].unbind(0))
        sizes = [
            torch.where(number > k, left, torch.where(number == k, size, nothing))
            if k
            else torch.where(number > 0, left, size)
            for k in range(bins)
        ]
        mean = sum((share * gradient for share, gradient in zip(shares, sizes, strict=True)), nothing)
        by_row += [share * (gradient - mean) * divided for share, gradient in zip(shares, sizes, strict=True)]
    by_row += [
        torch.where(number == k + 1, ends.a0, torch.where(number == k, ends.a1, nothing)) for k in range(bins - 1)
    ]
    return torch.stack(by_row)


def _softmax(logits: tuple[Tensor, ...]) -> list[Tensor]:
    most = logits[0]
    for logit in logits[1:]:
        most = torch.maximum(most, logit)
    powers = [torch.exp(logit - most) for logit in logits]
    total = powers[0]
    for power in powers[1:]:
        total = total + power
    return [power / total for power in powers]
