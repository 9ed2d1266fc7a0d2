"""The learned velocity: a network between scalings under which it sees and predicts numbers of variance one."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.solvers import expand
from headwater.errors import UnsupportedEventError
from headwater.events import ContextSpec, EventSpec
from headwater.models.diffusions.options import FlowMatchingConfig
from headwater.networks.modulated import ModulatedMLP
from headwater.networks.time import TimeEmbedding, fourier
from headwater.networks.unet import UNet

__all__ = ["PictureField", "PreconditionedVelocity", "RowField", "build_velocity", "convolves"]

_DENSE = 256  # numbers of a picture up to which a dense network learns more per minute than a convolutional one
_SMALL = 8  # elements up to which a smaller network is enough
_PATCHED = 24  # pixels of the shorter side from which pictures are seen in patches of two by two
_LEAST_SPREAD = 0.05  # below it an element's rare values would be magnified beyond what a network bears


class RowField(nn.Module):
    """A field over rows: a modulated residual network, given Fourier features of every element beside the elements.

    Networks learn smooth functions first; the features put the edges of sharp densities within their reach. Their
    angular frequencies are ``pi/2 * 2**j`` in units of the element's spread.

    Args:
        shape: Shape of an event; it is flattened.
        context: What a conditional model is given.
        width, blocks, embedding: Sizes of the network.
        features: Number of frequencies per element.
    """

    frequencies: Tensor

    def __init__(
        self, shape: tuple[int, ...], context: ContextSpec, *, width: int, blocks: int, embedding: int, features: int
    ) -> None:
        super().__init__()
        size = int(torch.Size(shape).numel())
        self.time = _time_embedding(embedding, context)
        self.register_buffer("frequencies", torch.pi / 2 * 2.0 ** torch.arange(features), persistent=False)
        self.network = ModulatedMLP(size * (1 + 2 * features), size, width=width, blocks=blocks, condition=embedding)
        self.footprint = width

    def forward(
        self, x: Float[Tensor, "batch *event"], t: Float[Tensor, " batch"], context: Float[Tensor, "batch size"] | None
    ) -> Float[Tensor, "batch *event"]:
        rows = x.flatten(1)
        waves = fourier(rows, self.frequencies).flatten(1)
        out = self.network(torch.cat([rows, waves], dim=1), self.time(t, context))
        return out.reshape(x.shape)


class PictureField(nn.Module):
    """A field over pictures: a :class:`~headwater.networks.unet.UNet` modulated by time and context.

    Squares of ``patch`` by ``patch`` pixels become the channels of one position, which costs a large picture little
    quality and saves most of the work; sides that do not divide are padded with zeros and cropped again.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        context: ContextSpec,
        *,
        patch: int,
        channels: int,
        levels: int,
        layers: int,
        attention: int,
        embedding: int,
    ) -> None:
        super().__init__()
        self.time = _time_embedding(embedding, context)
        colors, height, width = shape
        self.patch, self.padding = patch, (0, -width % patch, 0, -height % patch)
        positions = (-(-height // patch), -(-width // patch))
        self.network = UNet(
            (colors * patch**2, *positions),
            channels=channels,
            levels=levels,
            layers=layers,
            condition=embedding,
            attention=attention,
        )
        self.footprint = 2 * channels * positions[0] * positions[1]

    def forward(
        self, x: Float[Tensor, "batch c h w"], t: Float[Tensor, " batch"], context: Float[Tensor, "batch size"] | None
    ) -> Float[Tensor, "batch c h w"]:
        squares = nn.functional.pixel_unshuffle(nn.functional.pad(x, self.padding), self.patch)
        out = nn.functional.pixel_shuffle(self.network(squares, self.time(t, context)), self.patch)
        return out[..., : x.shape[2], : x.shape[3]]


class PreconditionedVelocity(nn.Module):
    r"""``v(x, t) = m + c(t) (x - t m) + (d / s(t)) F((x - t m) / s(t), t)`` with a network F that starts at zero.

    Were every element of the data normal with mean m and standard deviation d, then ``x_t`` would have mean ``t m``
    and variance ``s(t)^2 = (1 - t)^2 + t^2 d^2``, the velocity would be ``m + c(t) (x - t m)`` with
    ``c(t) = (t d^2 - (1 - t)) / s(t)^2`` by the regression of ``x1 - x0`` on ``x_t``, and the variance of ``x1 - x0``
    about it would be ``1 + d^2 - c(t)^2 s(t)^2 = d^2 / s(t)^2``. So the network's input and its target have variance
    one at every time, the untrained model is the normal distribution with the data's means and spreads, and at the
    ends the exact velocities come for free: ``m - x0`` at t = 0 and ``x1 - 0`` at t = 1, where F need only be zero.

    The idea, for another path, is from Elucidating the Design Space of Diffusion-Based Generative Models (Karras,
    Aittala, Aila & Laine, 2022), https://arxiv.org/abs/2206.00364, section 5.

    Args:
        field: F, called with ``(x, t, context)``.
        shape: Shape of an event; means and spreads are per element where F is dense, per channel where it convolves.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, field: RowField | PictureField, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.field = field
        per = (shape[0], 1, 1) if isinstance(field, PictureField) else shape
        self.register_buffer("mean", torch.zeros(per))
        self.register_buffer("spread", torch.ones(per))

    def fit_scales(self, x: Float[Tensor, "batch *event"]) -> None:
        """Take means and spreads from a batch of data."""
        over = (0, 2, 3) if isinstance(self.field, PictureField) else (0,)
        self.mean.copy_(x.mean(over, keepdim=True)[0])
        if len(x) > 1:
            self.spread.copy_(x.std(over, keepdim=True)[0].clamp(min=_LEAST_SPREAD))

    def weight(self, t: Float[Tensor, " batch"], x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch *event"]:
        """``s(t)^2 / d^2``, under which the squared error of v is that of F."""
        return (self._variance(t, x) / self.spread**2).expand(x.shape)

    def _variance(self, t: Tensor, x: Tensor) -> Tensor:
        s = expand(t, x)
        return (1 - s) ** 2 + (s * self.spread) ** 2

    def forward(
        self, t: Float[Tensor, " batch"], x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch size"] | None
    ) -> Float[Tensor, "batch *event"]:
        s = expand(t, x)
        centred = x - s * self.mean
        variance = self._variance(t, x)
        deviation = variance.sqrt()
        linear = self.mean + (s * self.spread**2 - (1 - s)) / variance * centred
        return linear + self.spread / deviation * self.field(centred / deviation, t, context)


def convolves(config: FlowMatchingConfig, event: EventSpec) -> bool:
    """Whether the network is a U-Net.

    Raises:
        UnsupportedEventError: one was asked for, and the events are not pictures.
    """
    if config.network == "unet" and not event.is_image:
        raise UnsupportedEventError(
            f"A U-Net needs pictures, got {event}.", hint="Use model.network='mlp' or leave it at 'auto'."
        )
    return event.is_image and (config.network == "unet" or (config.network == "auto" and event.size > _DENSE))


def build_velocity(config: FlowMatchingConfig, event: EventSpec, context: ContextSpec) -> PreconditionedVelocity:
    """A U-Net for pictures of more than 256 numbers, a residual network for all else, between the scalings."""
    field: RowField | PictureField
    embedding = config.embedding or (64 if event.size <= _SMALL else 128)
    if convolves(config, event):
        channels, height, width = event.shape
        patch = config.patch or (2 if min(height, width) >= _PATCHED else 1)
        field = PictureField(
            (channels, height, width),
            context,
            patch=patch,
            channels=config.channels or (32 if patch == 1 else 48),
            levels=config.levels,
            layers=config.layers,
            attention=config.attention,
            embedding=embedding,
        )
    else:
        field = RowField(
            event.shape,
            context,
            width=config.width or (128 if event.size <= _SMALL else 256),
            blocks=config.blocks,
            embedding=embedding,
            features=config.features,
        )
    return PreconditionedVelocity(field, event.shape)


def _time_embedding(features: int, context: ContextSpec) -> TimeEmbedding:
    return TimeEmbedding(features, context.size, norm=1.0 if context.classes else max(1, context.size) ** 0.5)
