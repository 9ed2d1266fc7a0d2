"""Flows that draw an event together with its log-density."""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.errors import UsageError
from headwater.models.base import Density, GenerativeModel
from headwater.models.flows.torch_distribution import FlowDistribution
from headwater.rng import Rng

__all__ = ["Joint"]


class Joint(GenerativeModel, Density):
    """Draws an event and says how likely it was, in one pass; so it is a ``torch.distributions.Distribution``."""

    @property
    @abstractmethod
    def reparameterized(self) -> bool:
        """Whether samples carry gradients to the parameters and the context."""

    @abstractmethod
    def sample_and_log_prob(
        self, rng: Rng, *, context: Float[Tensor, "n context"] | None = None
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, " n"]]:
        """An event per key of ``rng`` with its log-density in nats.

        Raises:
            UsageError: gradients are recorded, and samples do not carry them.
        """

    def distribution(self, context: Float[Tensor, "*batch context"] | None = None) -> FlowDistribution:
        """``p(x | context)`` as a ``torch.distributions.Distribution``.

        >>> import torch
        >>> from headwater.events import ContextSpec, EventSpec
        >>> from headwater.models.flows.nsf import NSF, NSFConfig
        >>> flow = NSF(NSFConfig(transforms=1, width=8), EventSpec.real(2), ContextSpec(size=3))
        >>> p = flow.distribution(torch.zeros(5, 3))
        >>> p.rsample((4,)).shape, p.log_prob(torch.zeros(2)).shape
        (torch.Size([4, 5, 2]), torch.Size([5]))
        """
        return FlowDistribution(self, context)

    def refuse_gradients(self) -> None:
        """
        Raises:
            UsageError: gradients are recorded, and samples do not carry them.
        """
        if torch.is_grad_enabled() and not self.reparameterized:
            raise UsageError(
                f"Samples of this {type(self).__name__} carry no gradient.",
                hint="Draw under torch.no_grad(), or use a flow of couplings or autoregressive layers with"
                " the base normal, student-t or uniform.",
            )
