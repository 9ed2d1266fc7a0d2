"""What a bijection is: a map with an inverse, both of which return their log-determinant."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Bijection", "DataDependent", "initialize"]


class Bijection(nn.Module, ABC):
    """An invertible differentiable map of events, possibly given a context.

    ``forward`` carries data towards noise: ``z = f(x)``, ``ladj = log|det df/dx|``.
    ``inverse`` carries noise towards data: ``x = f^-1(z)``, ``ladj = log|det df^-1/dz|``,
    which is minus the forward one at the same point. Each costs one pass of the
    conditioner where the architecture allows it; both keep the dtype of their input.
    """

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        """``(f(x), log|det df/dx|)`` per event."""

    @abstractmethod
    def inverse(
        self, z: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        """``(f^-1(z), log|det df^-1/dz|)`` per event."""


class DataDependent(ABC):
    """A bijection that sets its parameters from the first batch that reaches it."""

    @abstractmethod
    def fit(self, x: Float[Tensor, "batch *event"]) -> None:
        """Set the parameters from events on their way to ``forward``."""


@torch.no_grad()
def initialize(
    bijection: Bijection, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
) -> None:
    """Let every :class:`DataDependent` part see the batch as its predecessors, once set, transform it."""

    def fit(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(module, DataDependent)
        module.fit(inputs[0])

    dependent = [module for module in bijection.modules() if isinstance(module, DataDependent)]
    hooks = [module.register_forward_pre_hook(fit) for module in dependent if isinstance(module, nn.Module)]
    try:
        bijection(x, context)
    finally:
        for hook in hooks:
            hook.remove()
