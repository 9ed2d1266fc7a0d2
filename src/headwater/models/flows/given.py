"""The context as the parts of a flow take it: embedded, and zeros where none is given."""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from headwater.events import ContextSpec
from headwater.models.base import ModelConfig
from headwater.networks.mlp import MLP

__all__ = ["ContextConfig", "Given"]


class ContextConfig(ModelConfig):
    """What every flow with an embedding of its context is asked."""

    embedding: int = Field(0, ge=0, le=4096, description="length of a learned embedding of the context; 0: as it is")


class Given(nn.Module):
    """``(context, like) -> vectors of length size``, or None where the model takes no context.

    Args:
        context: What the model is given.
        length: Of a learned embedding; 0: the context as it is.
    """

    def __init__(self, context: ContextSpec, length: int) -> None:
        super().__init__()
        self.taken = context.size
        self.size = length if context.size and length else context.size
        self.network = None
        if context.size and length:
            self.network = MLP(context.size, length, width=max(64, length), blocks=1)

    def forward(
        self, context: Float[Tensor, "batch context"] | None, like: Float[Tensor, "batch *shape"]
    ) -> Float[Tensor, "batch size"] | None:
        """In the dtype of ``like``; zeros in place of a context that is not given."""
        if not self.taken:
            return None
        given = like.new_zeros(like.shape[0], self.taken) if context is None else context.to(like.dtype)
        return given if self.network is None else torch.as_tensor(self.network(given))
