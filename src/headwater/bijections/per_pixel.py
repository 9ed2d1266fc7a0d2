"""One bijection of vectors at every pixel of a picture."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection

__all__ = ["PerPixel"]


class PerPixel(Bijection):
    """``z[:, h, w] = g(x[:, h, w])`` with the same ``g`` at each pixel; log-determinants are sums over pixels.

    With :class:`~headwater.bijections.actnorm.ActNorm` as ``g`` this is the ActNorm of Glow: a scale and a shift
    per channel, set from the pixels of all pictures of a batch.

    Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    https://arxiv.org/abs/1807.03039, section 3.1.

    Args:
        bijection: ``g``, of vectors of as many elements as the picture has channels; it takes no context.
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection

    def forward(
        self, x: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        z, ladj = self.bijection(_pixels(x))
        return _picture(z, x), ladj.reshape(x.shape[0], -1).sum(dim=1)

    def inverse(
        self, z: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        x, ladj = self.bijection.inverse(_pixels(z))
        return _picture(x, z), ladj.reshape(z.shape[0], -1).sum(dim=1)


def _pixels(x: Tensor) -> Tensor:
    return x.movedim(1, -1).reshape(-1, x.shape[1])  # a view where channels lie last in memory


def _picture(pixels: Tensor, like: Tensor) -> Tensor:
    n, channels, height, width = like.shape
    return pixels.reshape(n, height, width, channels).movedim(-1, 1)
