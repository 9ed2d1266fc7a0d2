"""Invertible 1x1 convolution: one linear map of the channels at every pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection
from headwater.networks.columns import take

__all__ = ["Conv1x1"]


class Conv1x1(Bijection):
    r"""``z[:, h, w] = W x[:, h, w]`` with ``W = P L U``, all pixels alike.

    ``L`` is unit lower triangular, ``U`` upper triangular with diagonal ``s exp(d)``, the signs ``s`` and the
    permutation ``P`` are fixed. The start is a random rotation.

    .. math:: \log|\det dz/dx| = H W \sum_i d_i

    ``forward`` multiplies the factors once and the pixels by their product; ``inverse`` takes two triangular solves.
    Both keep the precision of their input under autocast, where a rounded ``W`` would not have this determinant.

    Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018),
    https://arxiv.org/abs/1807.03039, section 3.2.

    Args:
        channels: Length of ``x[:, h, w]``.
    """

    order: Int64[Tensor, " channels"]
    restore: Int64[Tensor, " channels"]
    signs: Float[Tensor, " channels"]

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal, order = upper.diagonal(), permutation.argmax(dim=1)
        strict = channels > 1
        self.lower = nn.Parameter(lower.tril(-1).float()) if strict else None
        self.upper = nn.Parameter(upper.triu(1).float()) if strict else None
        self.log_diagonal = nn.Parameter(diagonal.abs().log().float())
        self.register_buffer("order", order)
        self.register_buffer("restore", torch.argsort(order))
        self.register_buffer("signs", diagonal.sign().float())

    def matrix(self) -> Float[Tensor, "channels channels"]:
        """``W``."""
        lower, upper = self._factors()
        return take(lower @ upper, self.order, self.restore, 0)

    def forward(
        self, x: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        with torch.autocast(x.device.type, enabled=False):
            z = (x.movedim(1, -1) @ self.matrix().T).movedim(-1, 1)
        return z, self._ladj(x)

    def inverse(
        self, z: Float[Tensor, "batch channels height width"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        with torch.autocast(z.device.type, enabled=False):
            lower, upper = self._factors()
            y = take(z.flatten(2), self.restore, self.order, 1)
            y = torch.linalg.solve_triangular(lower, y, upper=False, unitriangular=True)
            x = torch.linalg.solve_triangular(upper, y, upper=True)
        return x.reshape(z.shape), -self._ladj(z)

    def _factors(self) -> tuple[Tensor, Tensor]:
        diagonal = torch.diag(self.signs * self.log_diagonal.exp())
        unit = torch.eye(len(diagonal), dtype=diagonal.dtype, device=diagonal.device)
        if self.lower is None or self.upper is None:
            return unit, diagonal
        return self.lower.tril(-1) + unit, self.upper.triu(1) + diagonal

    def _ladj(self, x: Tensor) -> Tensor:
        return (x.shape[2] * x.shape[3] * self.log_diagonal.sum()).expand(x.shape[0])

    def extra_repr(self) -> str:
        return f"{len(self.order)}"
