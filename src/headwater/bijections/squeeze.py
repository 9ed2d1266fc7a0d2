"""Space to depth: a picture of half the sides and four times the channels."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headwater.bijections.bijection import Bijection

__all__ = ["Flatten", "Squeeze"]


class Squeeze(Bijection):
    """``z[4 c + 2 i + j, h, w] = x[c, 2 h + i, 2 w + j]``: each square of 2 x 2 pixels becomes one of 4 channels.

    Volume is kept: both log-determinants are zero. Sides must be even.

    Density Estimation Using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017), https://arxiv.org/abs/1605.08803,
    section 3.6.

    >>> import torch
    >>> Squeeze()(torch.zeros(1, 3, 4, 6))[0].shape
    torch.Size([1, 12, 2, 3])
    """

    def forward(
        self, x: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch more less narrow"], Float[Tensor, " batch"]]:
        return functional.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0])

    def inverse(
        self, z: Float[Tensor, "batch more less narrow"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        return functional.pixel_shuffle(z, 2), z.new_zeros(z.shape[0])


class Flatten(Bijection):
    """A picture as a vector, channel by channel, row by row.

    Args:
        shape: Channels, height, width of the picture.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape = shape

    def forward(
        self, x: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return x.reshape(x.shape[0], -1), x.new_zeros(x.shape[0])

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        return z.reshape(-1, *self.shape), z.new_zeros(z.shape[0])

    def extra_repr(self) -> str:
        return str(self.shape)
