"""The multi-scale architecture of flows of pictures: squeeze, couple, leave half behind, and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from headwater.bijections.actnorm import ActNorm
from headwater.bijections.affine import Affine
from headwater.bijections.bijection import Bijection
from headwater.bijections.channel_coupling import ChannelCoupling, Checkerboard
from headwater.bijections.combinators import Compose
from headwater.bijections.conv1x1 import Conv1x1
from headwater.bijections.elementwise import Elementwise
from headwater.bijections.per_pixel import PerPixel
from headwater.bijections.split import Split
from headwater.bijections.squeeze import Flatten, Squeeze
from headwater.bijections.univariate import Univariate

__all__ = ["Masks", "Shape", "Sizes", "halvings", "multiscale"]

Masks = Literal["channel", "checkerboard"]
Shape = tuple[int, int, int]


class Sizes(NamedTuple):
    """What the couplings are made of.

    Args:
        univariate: Makes the map of an element.
        masks: ``channel``: couplings by channel, after each squeeze (Glow); ``checkerboard``: couplings by checkerboard
            before each squeeze as well (Real NVP).
        steps: Couplings of a kind at a scale.
        context: Length of the context vector; 0 for none.
        width: Channels of the networks.
        blocks: Residual blocks of the networks.
    """

    univariate: Callable[[], Univariate]
    masks: Masks
    steps: int
    context: int
    width: int
    blocks: int


def halvings(height: int, width: int) -> int:
    """How often both sides can be halved.

    >>> halvings(28, 28), halvings(4, 6), halvings(5, 8)
    (2, 1, 0)
    """
    count = 0
    while height % 2 == 0 and width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    return count


def multiscale(shape: Shape, levels: int, sizes: Sizes) -> Bijection:
    """Pictures to vectors of the same size, through ``levels`` scales.

    At each scale ``[checkerboard couplings ->] squeeze -> channel couplings``, then half of the channels is left behind
    (:class:`~headwater.bijections.split.Split`) if another scale follows. Without any scale (odd sides) the couplings
    work on the picture as it is, by checkerboard where it has one channel. Every coupling follows an ActNorm, and
    those by channel an invertible 1x1 convolution as well.
    """
    checkerboard = sizes.masks == "checkerboard" or (levels == 0 and shape[0] == 1)
    parts = _checkerboards(shape, sizes) if checkerboard else []
    if levels:
        parts.append(Squeeze())
        shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
    if shape[0] > 1:
        parts += _channels(shape, sizes)
    parts.append(PerPixel(ActNorm(shape[0])))
    if levels > 1:
        rest = (shape[0] - shape[0] // 2, *shape[1:])
        return Compose(*parts, Split(multiscale(rest, levels - 1, sizes), _prior(shape, sizes), shape))
    features = shape[0] * shape[1] * shape[2]
    return Compose(*parts, Flatten(shape), Elementwise(Affine(), features, context=sizes.context))


def _checkerboards(shape: Shape, sizes: Sizes) -> list[Bijection]:
    parts: list[Bijection] = []
    for number in range(sizes.steps):
        layer = Checkerboard(sizes.univariate(), shape, 1 if number % 2 else 0, **_network(sizes))
        parts += [PerPixel(ActNorm(shape[0])), layer]
    return parts


def _channels(shape: Shape, sizes: Sizes) -> list[Bijection]:
    parts: list[Bijection] = []
    for _ in range(sizes.steps):
        layer = ChannelCoupling(sizes.univariate(), shape, _second_half(shape), **_network(sizes))
        parts += [PerPixel(ActNorm(shape[0])), Conv1x1(shape[0]), layer]
    return parts


def _prior(shape: Shape, sizes: Sizes) -> Bijection:
    network = _network(sizes) | {"blocks": 0}
    return ChannelCoupling(Affine(), shape, _second_half(shape), **network)


def _second_half(shape: Shape) -> range:
    return range(shape[0] - shape[0] // 2, shape[0])


def _network(sizes: Sizes) -> dict[str, Any]:
    return {"context": sizes.context, "width": sizes.width, "blocks": sizes.blocks}
