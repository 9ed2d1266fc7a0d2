"""Families of increasing maps of the line, chosen per element by a few numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.roots import bracket, increasing_inverse

__all__ = ["Searched", "Univariate"]


class Univariate(nn.Module, ABC):
    """An increasing bijection of the real line with ``size`` parameters, applied element by element.

    It holds no parameters itself: a coupling, an autoregressive network or free
    parameters provide them. All-zero parameters are the identity.

    Attributes:
        size: Parameters per element, any real numbers.
    """

    size: int

    def start(self) -> Float[Tensor, " size"]:
        """Parameters to start training from: near the identity, and without two parts that are alike and would stay so.

        Zeros by default.
        """
        return torch.zeros(self.size)

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """``(f(x), log f'(x))`` of each element."""

    @abstractmethod
    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """``(f^-1(y), log (f^-1)'(y))`` of each element."""


class Searched(Univariate):
    """A map onto the whole line without a closed inverse, which Newton's method finds."""

    @abstractmethod
    def value(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """``(f(x), log f'(x))`` of each element; parameters have the dtype of x."""

    def forward(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        return self.value(x, parameters.to(x.dtype))

    def inverse(
        self, y: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        parameters = parameters.to(y.dtype)

        def at(x: Tensor) -> tuple[Tensor, Tensor]:
            return self.value(x, parameters)

        return increasing_inverse(at, y, *bracket(at, y))
