"""Bijections of finite alphabets: shifts around the ring, and the slopes that stand for their gradients.

A shift is whole, so its true derivative is zero. What stands for it is the derivative of the *linear
interpolation between whole shifts*: for ``t`` above its rounded value the difference between one more step and none,
below it between none and one fewer. So ``t`` is drawn to the whole number that is best and rests there; a slope
that ignores on which side of it ``t`` lies (the plain straight-through estimator) drives it past, and shifts jitter.
To know the side where the slope is taken, a code travels twice, see :class:`Code`.

Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation (Bengio,
Léonard & Courville, 2013), https://arxiv.org/abs/1308.3432, is the plain estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["Code", "interpolated", "ring_shift", "ring_unshift"]


class Code(NamedTuple):
    """Codes ``0 .. K-1``, twice: equal numbers, one for the gradient of raising them, one for that of lowering them."""

    up: Tensor
    down: Tensor

    @classmethod
    def of(cls, z: Tensor) -> Code:
        """Codes that nothing has shifted yet."""
        return cls(z, z)

    @property
    def value(self) -> Tensor:
        """The codes, without a gradient."""
        return self.up.detach()

    def map(self, f: Callable[[Tensor], Tensor]) -> Code:
        """The same rearrangement of both."""
        return Code(f(self.up), f(self.down))

    def join(self, other: Code) -> Code:
        """Codes of both, one channel after another."""
        return Code(torch.cat([self.up, other.up], dim=1), torch.cat([self.down, other.down], dim=1))


def _turn(t: Tensor) -> Tensor:
    """Whether a coin is turned: one where ``t > 0``, with the slope of the sigmoid."""
    soft = torch.sigmoid(t)
    return (t > 0).to(t.dtype) + (soft - soft.detach())


def ring_shift(x: Code, t: Float[Tensor, "*shape"], sizes: Float[Tensor, "*#shape"]) -> Code:
    """``z = (x + round(t)) mod K``; of coins (``K = 2``) ``z = x xor [t > 0] = x + s - 2 x s``.

    Integer Discrete Flows and Lossless Compression (Hoogeboom, Peters, van den Berg & Welling, 2019),
    equation 6, https://arxiv.org/abs/1905.07376, there without the modulus; with it: Discrete Flows:
    Invertible Generative Models of Discrete Data (Tran, Vafa, Agrawal, Dinh & Poole, 2019), https://arxiv.org/abs/1905.10347.

    >>> x, sizes = torch.tensor([0.0, 3.0, 1.0]), torch.tensor([5.0, 5.0, 2.0])
    >>> ring_shift(Code.of(x), torch.tensor([-1.0, 1.4, 9.0]), sizes).value
    tensor([4., 4., 0.])
    """
    whole, turn = torch.round(t).detach(), _turn(t)
    slope, zero = t - t.detach(), torch.zeros_like(t)
    up = torch.where(t > whole, slope, zero)
    coin = sizes == 2
    raised = torch.where(coin, x.up + turn - 2 * x.up * turn, torch.remainder(x.up + whole, sizes) + up)
    still = turn.detach()
    lowered = torch.where(
        coin, x.down + still - 2 * x.down * still, torch.remainder(x.down + whole, sizes) + (slope - up)
    )
    return Code(raised, lowered)


def ring_unshift(
    z: Float[Tensor, "*shape"], t: Float[Tensor, "*shape"], sizes: Float[Tensor, "*#shape"]
) -> Float[Tensor, "*shape"]:
    """The inverse of :func:`ring_shift` for the same ``t``, without gradients."""
    turn = (t > 0).to(z.dtype)
    return torch.where(sizes == 2, z + turn - 2 * z * turn, torch.remainder(z - torch.round(t), sizes))


def interpolated(
    f: Callable[[Tensor], Tensor],
    z: Code,
    sizes: Float[Tensor, "*#shape"],
    owner: Tensor | None = None,
) -> Float[Tensor, "batch outputs"]:
    """``f(z)``, with differences between neighbours on the ring as its derivatives in ``z``.

    Args:
        f: Any function of codes whose output ``j`` depends on code ``owner[j]`` alone; gradients of what
            else it holds (parameters) are the true ones.
        z: Codes ``(batch, elements)``.
        sizes: ``K`` of each. A coin has one neighbour: both differences are ``f(1) - f(0)``.
        owner: Of each output of a row, the element it depends on; None: output ``i`` is of element ``i``.
    """
    here = f(z.value)
    with torch.no_grad():
        coin = sizes == 2
        above = f(torch.where(coin, torch.ones_like(z.value), torch.remainder(z.value + 1, sizes)))
        below = f(torch.where(coin, torch.zeros_like(z.value), torch.remainder(z.value - 1, sizes)))
        coin = coin.expand(z.value.shape[1:]) if owner is None else coin.index_select(0, owner)
        rise, fall = torch.where(coin, above - below, above - here), torch.where(coin, above - below, here - below)
    up, down = (copy - copy.detach() for copy in z)
    if owner is not None:  # a product, since the gradient of a selection would be a scatter
        spread = functional.one_hot(owner, z.value.shape[1]).T.to(up.dtype)
        up, down = up @ spread, down @ spread
    return here + rise * up + fall * down
