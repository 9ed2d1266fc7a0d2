"""A flow as a ``torch.distributions.Distribution``, for Pyro, sbi and whoever speaks that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from headwater.rng import Rng

if TYPE_CHECKING:
    from headwater.models.flows.joint import Joint

__all__ = ["FlowDistribution"]


class FlowDistribution(Distribution):
    """``p(x | context)`` of a flow, in the flow's own (encoded) units.

    Args:
        model: The flow.
        context: Contexts ``(*batch, size)``; None where the flow takes none.
        batch_shape: The shape to which one context is repeated; None: that of ``context``.

    Samples are drawn with a seed from torch's global generator, so that ``torch.manual_seed`` holds.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, model: Joint, context: Tensor | None = None, *, batch_shape: torch.Size | None = None) -> None:
        own = torch.Size() if context is None else context.shape[:-1]
        self._model = model
        self.has_rsample = model.reparameterized
        shape = own if batch_shape is None else batch_shape
        self._context = None if context is None else context.expand(*shape, context.shape[-1])
        super().__init__(shape, torch.Size(model.event.shape), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """Unbounded reals; not said for events on other sets."""
        if not self._model.event.is_real:
            raise NotImplementedError(f"the support of {self._model.event} is not one of torch's constraints")
        return constraints.independent(constraints.real, len(self.event_shape))  # type: ignore[no-untyped-call]

    def expand(self, batch_shape: Any, _instance: Any = None) -> FlowDistribution:
        """The same, repeated to a batch shape."""
        return FlowDistribution(self._model, self._context, batch_shape=torch.Size(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """``log p(value | context)`` in nats, broadcast over sample and batch shapes."""
        own = value.shape[: value.ndim - len(self.event_shape)]
        shape = torch.broadcast_shapes(own, self.batch_shape)  # type: ignore[no-untyped-call]
        x = value.expand(*shape, *self.event_shape).reshape(-1, *self.event_shape)
        return self._model.log_prob(x, context=self._contexts(shape)).value.reshape(shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples that carry gradients to the flow's parameters and its context."""
        return self.rsample_and_log_prob(torch.Size(sample_shape))[0]

    def rsample_and_log_prob(self, sample_shape: Any = ()) -> tuple[Tensor, Tensor]:
        """Samples and their log-density in one pass."""
        shape = torch.Size(sample_shape) + self.batch_shape
        like = next(self._model.parameters())
        rng = Rng.of(int(torch.randint(2**62, ())), shape.numel(), device=like.device)
        x, log_prob = self._model.sample_and_log_prob(rng, context=self._contexts(shape))
        return x.reshape(*shape, *self.event_shape), log_prob.reshape(shape)

    def _contexts(self, shape: torch.Size) -> Tensor | None:
        if self._context is None:
            return None
        size = self._context.shape[-1]
        return self._context.expand(*shape, size).reshape(-1, size)
