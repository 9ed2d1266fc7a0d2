"""Log-determinants that are estimated: how noise reaches the layers that want some."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.combinators import Compose
from headwater.rng import Rng

__all__ = ["StochasticLogDet", "estimates", "surrogate"]


class StochasticLogDet(ABC):
    """A bijection whose log-determinant is costly, and can be estimated given noise.

    ``forward`` and ``inverse`` keep the contract of :class:`Bijection`: exact, without noise.

    Attributes:
        wants_noise: Whether it prefers to be trained by an estimate.
    """

    wants_noise: bool

    @abstractmethod
    def surrogate(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None, rng: Rng
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        """For training: ``f(x)`` and a number whose mean and gradient are those of the log-determinant.

        Static shapes, no host synchronization; up to a bias that the class states.
        """

    @abstractmethod
    def estimates(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None, rng: Rng, draws: int
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "draws batch"]]:
        """For scoring: ``f(x)`` and independent unbiased estimates of the log-determinant, without gradients."""


def surrogate(
    bijection: Bijection,
    x: Float[Tensor, "batch *event"],
    context: Float[Tensor, "batch context"] | None,
    rng: Rng,
) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
    """``forward`` with :meth:`StochasticLogDet.surrogate` wherever a composition has such a part.

    A bijection without such parts does what ``forward`` does; parts within other combinators are exact.
    """
    if isinstance(bijection, StochasticLogDet) and bijection.wants_noise:
        return bijection.surrogate(x, context, rng)
    if not isinstance(bijection, Compose):
        return bijection(x, context)
    total = x.new_zeros(x.shape[0])
    for number, part in enumerate(bijection.parts):
        assert isinstance(part, Bijection)
        noisy = isinstance(part, Compose) or (isinstance(part, StochasticLogDet) and part.wants_noise)
        x, ladj = surrogate(part, x, context, rng.fold(number) if noisy else rng)
        total = total + ladj
    return x, total


@torch.no_grad()
def estimates(
    bijection: Bijection,
    x: Float[Tensor, "batch *event"],
    context: Float[Tensor, "batch context"] | None,
    rng: Rng,
    draws: int,
) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "draws batch"]]:
    """Like :func:`surrogate` with :meth:`StochasticLogDet.estimates`: a row per draw."""
    if isinstance(bijection, StochasticLogDet):
        return bijection.estimates(x, context, rng, draws)
    if not isinstance(bijection, Compose):
        z, ladj = bijection(x, context)
        return z, ladj.expand(draws, -1)
    total = x.new_zeros(draws, x.shape[0])
    for number, part in enumerate(bijection.parts):
        assert isinstance(part, Bijection)
        x, ladj = estimates(part, x, context, rng.fold(number), draws)
        total = total + ladj
    return x, total
