"""The two networks of an autoencoder, fitted to an event: features in, numbers of the heads out."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.heads import Heads, numbers_from_maps
from headwater.errors import UsageError
from headwater.networks.mlp import MLP
from headwater.networks.resnet import ConvDecoder, ConvEncoder

__all__ = ["Decoder", "Encoder", "convolves"]

_LEAST_SIDE = 4
_DENSE = 1024


def convolves(heads: Heads, network: str) -> bool:
    """Whether the networks are convolutional: asked for, or ``auto`` and a picture of more than 1024 elements.

    Up to that size a dense network is so much faster on a CPU that it is the better one
    after the same minutes, though not after the same steps. All elements must share one head.

    Raises:
        UsageError: ``conv`` was asked for an event that is no such picture.
    """
    event = heads.event
    able = event.is_image and len(heads.groups) == 1 and min(event.shape[1:]) >= _LEAST_SIDE
    if network == "conv" and not able:
        raise UsageError(
            f"Convolutions need pictures of one kind of element, {_LEAST_SIDE} pixels or more a side; got {event}.",
            hint="Use model.network='mlp' or leave it at 'auto'.",
        )
    return able and (network == "conv" or (network == "auto" and event.size > _DENSE))


@final
class Encoder(nn.Module):
    """Features of events to vectors. Arguments as in the networks; ``width`` is channels if ``conv``."""

    def __init__(self, heads: Heads, out: int, *, conv: bool, width: int, blocks: int, condition: int) -> None:
        super().__init__()
        event, sizes = heads.event, heads.feature_sizes
        self.maps = (event.shape[0], *event.shape[1:], sizes[0]) if conv else None
        self.network: nn.Module = (
            ConvEncoder(
                (event.shape[0] * sizes[0], event.shape[1], event.shape[2]),
                out,
                width=width,
                blocks=blocks,
                condition=condition,
            )
            if conv
            else MLP(sum(sizes), out, width=width, blocks=blocks, condition=condition)
        )

    def forward(
        self, features: Float[Tensor, "batch features"], c: Float[Tensor, "batch context"] | None
    ) -> Float[Tensor, "batch out"]:
        h = features
        if self.maps is not None:
            colours, height, width, sizes = self.maps
            h = h.reshape(len(h), *self.maps).permute(0, 1, 4, 2, 3).reshape(len(h), colours * sizes, height, width)
        out: Tensor = self.network(h, c)
        return out


@final
class Decoder(nn.Module):
    """Codes to the numbers of the heads, with a learned offset per number that starts at zero."""

    def __init__(self, heads: Heads, latent: int, *, conv: bool, width: int, blocks: int, condition: int) -> None:
        super().__init__()
        event, sizes = heads.event, heads.parameter_sizes
        self.colours = event.shape[0] if conv else None
        self.network: nn.Module = (
            ConvDecoder(
                latent,
                (event.shape[0] * sizes[0], event.shape[1], event.shape[2]),
                width=width,
                blocks=blocks,
                condition=condition,
            )
            if conv
            else MLP(latent, sum(sizes), width=width, blocks=blocks, condition=condition)
        )
        self.offset = nn.Parameter(torch.zeros(sum(sizes))) if conv else None

    def forward(
        self, z: Float[Tensor, "batch latent"], c: Float[Tensor, "batch context"] | None
    ) -> Float[Tensor, "batch numbers"]:
        out: Tensor = self.network(z, c)
        if self.colours is None or self.offset is None:
            return out
        return numbers_from_maps(out, self.colours) + self.offset
