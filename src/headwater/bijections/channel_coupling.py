"""Couplings of pictures: some channels, or the fields of one colour of a chessboard, decide how the others move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from headwater.bijections.bijection import Bijection
from headwater.bijections.univariate import Univariate
from headwater.networks.columns import Columns
from headwater.networks.convnet import ResidualConvNet

__all__ = ["ChannelCoupling", "Checkerboard"]

_START = 0.1


class ChannelCoupling(Bijection):
    """``z_A = x_A`` and ``z_B = g(x_B; θ(x_A, c))`` for sets ``A``, ``B`` of channels, with a convolutional ``θ``.

    Inverse: ``x_A = z_A``, ``x_B = g^-1(z_B; θ(z_A, c))``. Log-determinants: the sums over ``B`` and all pixels of
    the log-derivatives. One pass of ``θ`` in both directions, which predicts the parameters of ``B`` only.

    Density Estimation Using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017), https://arxiv.org/abs/1605.08803,
    section 3.4; Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    https://arxiv.org/abs/1807.03039, section 3.3.

    Args:
        univariate: ``g``.
        shape: Channels, height, width of the picture; at least two channels.
        moved: ``B``; at least one channel must stay.
        context: Length of the context vector; 0 for none.
        width: Channels inside ``θ``.
        blocks: Residual blocks of ``θ``.
        activation: A key of :data:`headwater.networks.mlp.ACTIVATIONS`.
        counted: One for the moved elements that the log-determinant counts, zero for padding; None: all.
    """

    counted: Float[Tensor, "height width moved"] | None

    def __init__(
        self,
        univariate: Univariate,
        shape: tuple[int, int, int],
        moved: Sequence[int],
        *,
        context: int = 0,
        width: int = 64,
        blocks: int = 1,
        activation: str = "silu",
        counted: Float[Tensor, "moved height width"] | None = None,
    ) -> None:
        super().__init__()
        kept = sorted(set(range(shape[0])) - set(moved))
        assert kept, "a coupling must keep a channel"
        assert moved, "a coupling must move a channel"
        self.univariate, self.context = univariate, context
        self.kept, self.moved = Columns(kept, of=shape[0]), Columns(moved, of=shape[0])
        self.restore = Columns.inverse([*kept, *moved])
        self.register_buffer("counted", None if counted is None else counted.movedim(0, -1), persistent=False)
        self.conditioner = ResidualConvNet(
            (len(kept), *shape[1:]),
            len(moved) * univariate.size,
            width=width,
            blocks=blocks,
            condition=context,
            activation=activation,
        )
        with torch.no_grad():
            self.conditioner.exit.weight.mul_(_START)
            torch.as_tensor(self.conditioner.exit.bias).copy_(univariate.start().repeat(len(moved)))

    def forward(
        self, x: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        return self._move(x, context, inverse=False)

    def inverse(
        self, z: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        return self._move(z, context, inverse=True)

    def _move(self, x: Tensor, context: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        stay = self.kept(x)
        part = self.moved(x).movedim(1, -1)
        map_ = self.univariate.inverse if inverse else self.univariate.forward
        move, ladj = map_(part, self._theta(stay, context))
        if self.counted is not None:
            ladj = ladj * self.counted
        whole = self.restore(torch.cat([stay, move.movedim(-1, 1)], dim=1))
        return whole, ladj.flatten(1).sum(dim=1)

    def _theta(self, stay: Tensor, context: Tensor | None) -> Tensor:
        out: Tensor = self.conditioner(stay, context if self.context else None)
        n, _, height, width = stay.shape
        pixels = out.to(stay.dtype).movedim(1, -1)  # a view: the network works with channels last
        return pixels.reshape(n, height, width, -1, self.univariate.size)

    def extra_repr(self) -> str:
        return f"{len(self.kept)} kept, {len(self.moved)} moved"


class Checkerboard(Bijection):
    """A coupling whose kept and moved parts are the two colours of a chessboard: ``(h + w) mod 2`` moved or kept.

    Squares of 2 x 2 pixels are taken as 4 channels, of which two are black and two are white, so that ``θ`` works on
    the kept half alone, at half the resolution. Odd sides are padded by zeros, which are dropped again and not
    counted by the log-determinant.

    Density Estimation Using Real NVP (Dinh, Sohl-Dickstein & Bengio, 2017), https://arxiv.org/abs/1605.08803,
    section 3.4.

    Args:
        univariate: Moves an element.
        shape: Channels, height, width of the picture; at least two pixels.
        moved: 0 moves the pixels with even ``h + w``, 1 the others.
        fixed: So many first channels do not move at any pixel and are seen whole.
        context, width, blocks, activation: As of :class:`ChannelCoupling`.
    """

    def __init__(
        self,
        univariate: Univariate,
        shape: tuple[int, int, int],
        moved: Literal[0, 1],
        *,
        fixed: int = 0,
        context: int = 0,
        width: int = 64,
        blocks: int = 1,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        assert self.height * self.width > 1, "a chessboard needs two fields"
        self.odd = (0, self.width % 2, 0, self.height % 2)
        inside = functional.pixel_unshuffle(functional.pad(torch.ones(1, *shape), self.odd), 2)[0]
        colour = (1, 2) if moved else (0, 3)
        places = [4 * channel + corner for channel in range(fixed, channels) for corner in colour]
        self.coupling = ChannelCoupling(
            univariate,
            (inside.shape[0], inside.shape[1], inside.shape[2]),
            places,
            context=context,
            width=width,
            blocks=blocks,
            activation=activation,
            counted=inside[places] if any(self.odd) else None,
        )

    def forward(
        self, x: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        z, ladj = self.coupling(self._corners(x), context)
        return self._picture(z), ladj

    def inverse(
        self, z: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        x, ladj = self.coupling.inverse(self._corners(z), context)
        return self._picture(x), ladj

    def _corners(self, x: Tensor) -> Tensor:
        return functional.pixel_unshuffle(functional.pad(x, self.odd), 2)

    def _picture(self, corners: Tensor) -> Tensor:
        return functional.pixel_shuffle(corners, 2)[:, :, : self.height, : self.width]
