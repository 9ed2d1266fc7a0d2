"""Bijections of finite alphabets: shifts around the ring, their rounding and the slopes that stand for gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Neighbours", "neighbours", "ring_shift", "ring_unshift", "round_through", "slope_through"]


def round_through(t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``round(t)`` whose derivative is taken as one.

    Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation
    (Bengio, Léonard & Courville, 2013), https://arxiv.org/abs/1308.3432.

    >>> round_through(torch.tensor([0.4, 1.7]))
    tensor([0., 2.])
    """
    return torch.round(t).detach() + (t - t.detach())  # in this order: the first term is whole, the second is zero


def _step(t: Tensor) -> Tensor:
    """Zero or one: whether the coin is turned."""
    return round_through(torch.sigmoid(t))


def ring_shift(
    x: Float[Tensor, "*shape"], t: Float[Tensor, "*shape"], sizes: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """``z = (x + round(t)) mod K`` of codes ``0 .. K-1``; of coins ``z = x xor [t > 0] = x + s - 2 x s``.

    Rounding, and going round the ring, count as the identity for gradients. A coin (``K = 2``) has no
    direction to move in: the polynomial of its exclusive or has the slopes that going round would not.

    Integer Discrete Flows and Lossless Compression (Hoogeboom, Peters, van den Berg & Welling, 2019),
    equation 6, https://arxiv.org/abs/1905.07376, there without the modulus; with it: Discrete Flows:
    Invertible Generative Models of Discrete Data (Tran, Vafa, Agrawal, Dinh & Poole, 2019), https://arxiv.org/abs/1905.10347.

    >>> x, sizes = torch.tensor([0.0, 3.0, 1.0]), torch.tensor([5.0, 5.0, 2.0])
    >>> ring_shift(x, torch.tensor([-1.0, 1.4, 9.0]), sizes)
    tensor([4., 4., 0.])
    """
    turn = _step(t)
    return torch.where(sizes == 2, x + turn - 2 * x * turn, torch.remainder(x + round_through(t), sizes))


def ring_unshift(
    z: Float[Tensor, "*shape"], t: Float[Tensor, "*shape"], sizes: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """The inverse of :func:`ring_shift` for the same ``t``: ``x = (z - round(t)) mod K``, or the same coin turned."""
    turn = _step(t)
    return torch.where(sizes == 2, z + turn - 2 * z * turn, torch.remainder(z - round_through(t), sizes))


class Neighbours(NamedTuple):
    """The codes beside a code, and how far they are apart."""

    below: Tensor
    above: Tensor
    apart: Tensor


def neighbours(
    z: Float[Tensor, "*shape"], sizes: Float[Tensor, "*#shape"], nominal: Bool[Tensor, "*#shape"]
) -> Neighbours:
    """The codes before and after: on a line that ends where codes are numbers or coins, round the ring where names.

    >>> neighbours(torch.tensor([0.0]), torch.tensor([5.0]), torch.tensor([False]))
    Neighbours(below=tensor([0.]), above=tensor([1.]), apart=tensor([1.]))
    """
    ring = nominal & (sizes > 2)
    above = torch.where(ring, torch.remainder(z + 1, sizes), torch.minimum(z + 1, sizes - 1))
    below = torch.where(ring, torch.remainder(z - 1, sizes), torch.clamp_min(z - 1, 0))
    return Neighbours(below, above, torch.where(ring, 2.0, above - below).clamp_min(1))


def slope_through(
    f: Callable[[Tensor], Tensor],
    z: Float[Tensor, "batch elements"],
    beside: Neighbours,
    owner: Tensor | None = None,
) -> Float[Tensor, "batch outputs"]:
    """``f(z)``, with the difference between the neighbours' values as its derivative in ``z``.

    Args:
        f: Any function of codes whose output ``j`` depends on code ``owner[j]`` alone; gradients of what
            else it holds (parameters) are the true ones.
        z: Codes.
        beside: Their :func:`neighbours`.
        owner: Of each output, the element it depends on; None: output ``i`` is of element ``i``.
    """
    with torch.no_grad():
        apart = beside.apart if owner is None else beside.apart.index_select(1, owner)
        slope = (f(beside.above) - f(beside.below)) / apart
    moved = z - z.detach()
    return f(z.detach()) + slope * (moved if owner is None else moved.index_select(1, owner))
