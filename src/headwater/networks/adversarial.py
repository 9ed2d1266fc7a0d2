"""Generator and discriminator without normalization layers, for vectors and for pictures of any size.

Residual blocks whose last layer starts at zero keep activations of order one, so no
statistics of the batch are needed: each event is processed on its own. The picture
networks follow the plain residual design of The GAN is dead; long live the GAN!
A Modern GAN Baseline (Huang, Gokaslan, Kuleshov & Tompkin, 2024),
https://arxiv.org/abs/2501.05441.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.events import EventSpec
from headwater.networks.mlp import MLP

__all__ = ["Discriminator", "Generator"]

_SLOPE = 0.2
_SMALLEST = 4
_FEW_PIXELS = 256  # up to 16 x 16 grey pixels, dense layers learn as well and several times faster


class _Residual(nn.Module):
    """``x + W3 act(W2 * act(W1 x))``: a 1x1, a 3x3 and a 1x1 convolution, the last one starting at zero."""

    def __init__(self, channels: int, expansion: int = 2) -> None:
        super().__init__()
        inner = channels * expansion
        self.reduce = nn.Conv2d(channels, inner, 1)
        self.spatial = nn.Conv2d(inner, inner, 3, padding=1, groups=max(1, inner // 16) if inner % 16 == 0 else 1)
        self.restore = nn.Conv2d(inner, channels, 1, bias=False)
        nn.init.zeros_(self.restore.weight)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        h = nn.functional.leaky_relu(self.reduce(x), _SLOPE)
        h = nn.functional.leaky_relu(self.spatial(h), _SLOPE)
        return x + self.restore(h)


def _levels(height: int, width: int) -> int:
    """How often the picture is halved until its shorter side would fall below four pixels."""
    return max(0, int(math.log2(min(height, width) / _SMALLEST)))


def _sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Sizes from the coarsest to the picture's own; odd sides round up."""
    sizes = [(height, width)]
    for _ in range(_levels(height, width)):
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes[::-1]


def _widths(channels: int, levels: int) -> list[int]:
    """Channels from the coarsest level to the finest, halved on the way."""
    return [max(channels // 2**level, 16) for level in range(levels + 1)]


class _PictureGenerator(nn.Module):
    def __init__(self, shape: tuple[int, ...], inputs: int, channels: int, blocks: int) -> None:
        super().__init__()
        self.sizes = _sizes(shape[1], shape[2])
        widths = _widths(channels, len(self.sizes) - 1)
        height, width = self.sizes[0]
        self.seed_shape = (widths[0], height, width)
        self.seed = nn.Linear(inputs, math.prod(self.seed_shape))
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(widths[max(level - 1, 0)], widths[level], 1),
                *(_Residual(widths[level]) for _ in range(blocks)),
            )
            for level in range(len(widths))
        )
        self.picture = nn.Conv2d(widths[-1], shape[0], 1)

    def forward(self, z: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch channels height width"]:
        h = self.seed(z).reshape(z.shape[0], *self.seed_shape)
        for size, stage in zip(self.sizes, self.stages, strict=True):
            if h.shape[-2:] != size:
                h = nn.functional.interpolate(h, size=size, mode="bilinear", align_corners=False)
            h = stage(h)
        return self.picture(h)


class _PictureFeatures(nn.Module):
    def __init__(self, shape: tuple[int, ...], features: int, channels: int, blocks: int) -> None:
        super().__init__()
        sizes = _sizes(shape[1], shape[2])
        widths = _widths(channels, len(sizes) - 1)[::-1]
        self.picture = nn.Conv2d(shape[0], widths[0], 1)
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(_Residual(widths[level]) for _ in range(blocks)),
                nn.Conv2d(widths[level], widths[min(level + 1, len(widths) - 1)], 1),
            )
            for level in range(len(widths))
        )
        height, width = sizes[0]
        self.exit = nn.Linear(widths[-1] * height * width, features)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch features"]:
        h = self.picture(x)
        for level, stage in enumerate(self.stages):
            h = stage(h)
            if level + 1 < len(self.stages):
                h = nn.functional.avg_pool2d(h, 2, ceil_mode=True)
        return self.exit(h.flatten(1))


def _convolves(event: EventSpec) -> bool:
    return event.is_image and event.size > _FEW_PIXELS


class Generator(nn.Module):
    """Noise (and context) to an event.

    Args:
        event: What to generate; pictures by convolutions, all else and tiny ones by a residual MLP.
        latent: Length of the noise.
        context: Length of the context vector, 0 for none.
        width: Channels at the coarsest scale; a residual MLP is twice as wide.
        blocks: Residual blocks, per scale for pictures.
    """

    def __init__(self, event: EventSpec, *, latent: int, context: int, width: int, blocks: int) -> None:
        super().__init__()
        self.shape = event.shape
        self.net = (
            _PictureGenerator(event.shape, latent + context, width, blocks)
            if _convolves(event)
            else MLP(latent + context, event.size, width=2 * width, blocks=2 * blocks)
        )

    def forward(
        self, z: Float[Tensor, "batch latent"], context: Float[Tensor, "batch context"] | None
    ) -> Float[Tensor, "batch *event"]:
        inputs = z if context is None else torch.cat([z, context], dim=1)
        return self.net(inputs).reshape(z.shape[0], *self.shape)


class Discriminator(nn.Module):
    """Event (and context) to a score; the context enters by projection, ``D(x, c) = phi(x) . (w + V c)``.

    cGANs with Projection Discriminator (Miyato & Koyama, 2018), https://arxiv.org/abs/1802.05637.
    """

    def __init__(self, event: EventSpec, *, context: int, width: int, blocks: int, features: int = 128) -> None:
        super().__init__()
        self.convolves = _convolves(event)
        self.net = (
            _PictureFeatures(event.shape, features, width, blocks)
            if self.convolves
            else MLP(event.size, features, width=2 * width, blocks=2 * blocks)
        )
        self.weight = nn.Linear(features, 1, bias=False)
        self.projection = nn.Linear(context, features, bias=False) if context else None

    def forward(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None
    ) -> Float[Tensor, " batch"]:
        phi = nn.functional.leaky_relu(self.net(x if self.convolves else x.flatten(1)), _SLOPE)
        score = self.weight(phi).squeeze(1)
        if self.projection is not None:
            assert context is not None
            score = score + (phi * self.projection(context)).sum(1) / math.sqrt(phi.shape[1])
        return score
