"""What reads a raw observation before the flow is given it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.errors import UsageError, did_you_mean
from headwater.networks.mlp import MLP
from headwater.networks.pooled import DeepSet, SeriesEncoder

__all__ = ["EMBEDDINGS", "EmbeddingName", "Observation"]

EmbeddingName = Literal["none", "mlp", "deepset", "series"]
EMBEDDINGS: tuple[str, ...] = ("none", "mlp", "deepset", "series")
"""``none``: the flattened observation itself; ``mlp``: a residual network of it; ``deepset``: members ``(m,)`` or ``(m,
features)`` in any order; ``series``: convolutions over times ``(t,)`` or ``(t, features)``."""


class Observation(nn.Module):
    """Observations of one shape as context vectors: standardized, then embedded; learned together with the flow.

    A module of the user's gets raw observations ``(n, *shape)`` and must give ``(n, size)``.

    Args:
        shape: Of one observation.
        embedding: A name of :data:`EMBEDDINGS`, or a module.
        size: Length of the embedding; asked of the module itself where one is given.
        width: Hidden width of the built-in ones.

    Raises:
        UsageError: an unknown name, a shape that the embedding does not read, or a module that does not give vectors.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...], embedding: str | nn.Module, *, size: int = 16, width: int = 64) -> None:
        super().__init__()
        self.shape, self.embedding = shape, embedding if isinstance(embedding, nn.Module) else None
        self.name = type(embedding).__name__ if isinstance(embedding, nn.Module) else embedding
        if self.embedding is None:
            if self.name not in EMBEDDINGS:
                raise UsageError(f"There is no embedding {embedding!r}.", hint=did_you_mean(self.name, EMBEDDINGS))
            self.embedding = self._built(size, width)
        self.rows = self.name in ("deepset", "series")
        kept = self._rows_shape()[1:] if self.rows else shape
        self.register_buffer("mean", torch.zeros(kept))
        self.register_buffer("std", torch.ones(kept))
        self.standardized = not isinstance(embedding, nn.Module)
        self.size = math.prod(shape) if self.embedding is None else self._asked()

    def _rows_shape(self) -> tuple[int, int]:
        if len(self.shape) not in (1, 2):
            raise UsageError(
                f"The embedding {self.name!r} reads observations (m,) or (m, features), got {self.shape}.",
                hint="Reshape them in the simulator, or give a module of your own.",
            )
        return (self.shape[0], self.shape[1] if len(self.shape) == 2 else 1)

    def _built(self, size: int, width: int) -> nn.Module | None:
        match self.name:
            case "mlp":
                return MLP(math.prod(self.shape), size, width=width, blocks=1)
            case "deepset":
                return DeepSet(self._rows_shape()[1], size, width=width)
            case "series":
                return SeriesEncoder(self._rows_shape()[1], size, width=width)
        return None

    @torch.no_grad()
    def _asked(self) -> int:
        out = self(torch.zeros(2, math.prod(self.shape)))
        if not isinstance(out, Tensor) or out.ndim != 2 or len(out) != 2:
            raise UsageError(
                f"The embedding {self.name} must give (n, size), got {getattr(out, 'shape', type(out))} for n = 2.",
                hint=f"It is called with observations of shape (n, {', '.join(map(str, self.shape))}).",
            )
        return out.shape[1]

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "n *shape"]) -> None:
        """Take mean and spread, per element, or per feature where rows are exchangeable or times."""
        rows = x.reshape(-1, self._rows_shape()[1]) if self.rows else x
        self.mean.copy_(rows.double().mean(dim=0))
        std = rows.double().std(dim=0)
        self.std.copy_(torch.where(std > 0, std, 1.0))

    def forward(self, flat: Float[Tensor, "n elements"]) -> Tensor:
        """The context ``(n, size)`` of flattened observations."""
        shape = self._rows_shape() if self.rows else self.shape
        x = flat.reshape(-1, *shape)
        if self.standardized:
            x = (x - self.mean) / self.std
        if self.name in ("mlp", "none"):
            x = x.flatten(1)
        return x if self.embedding is None else self.embedding(x)
