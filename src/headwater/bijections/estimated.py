"""How noise reaches the layers that train with some: dropout, and log-determinants that are estimated."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.combinators import Compose
from headwater.rng import Rng

__all__ = ["Noisy", "StochasticLogDet", "estimates", "surrogate"]


class Noisy(ABC):
    """A bijection that is trained with noise; ``forward`` and ``inverse`` are without."""

    @property
    @abstractmethod
    def wants_noise(self) -> bool:
        """Whether it is to be trained with noise now."""

    @abstractmethod
    def surrogate(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None, rng: Rng
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        """What training takes in the place of ``forward``. Static shapes, no host synchronization."""


class StochasticLogDet(Noisy):
    """A bijection whose log-determinant is costly, and can be estimated given noise.

    Its :meth:`surrogate` is ``f(x)`` and a number whose mean and gradient are those of the log-determinant, up to a
    bias that the class states.
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
    """``forward`` with :meth:`Noisy.surrogate` wherever a composition has such a part.

    A bijection without such parts does what ``forward`` does; parts within other combinators are exact.
    """
    if isinstance(bijection, Noisy) and bijection.wants_noise:
        return bijection.surrogate(x, context, rng)
    if not isinstance(bijection, Compose):
        return bijection(x, context)
    total = x.new_zeros(x.shape[0])
    for number, part in enumerate(bijection.parts):
        assert isinstance(part, Bijection)
        noisy = isinstance(part, Compose) or (isinstance(part, Noisy) and part.wants_noise)
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
    """``forward`` with :meth:`StochasticLogDet.estimates` wherever a composition has such a part: a row per draw."""
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
