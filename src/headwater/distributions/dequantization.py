"""Dequantization: noise that makes whole numbers real, so that a density bounds their probability."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from headwater.bijections.bijection import Bijection
from headwater.bijections.channel_coupling import Checkerboard
from headwater.bijections.combinators import Compose
from headwater.bijections.mixture_cdf import MixtureCDF
from headwater.rng import Rng

__all__ = ["Dequantizer", "UniformDequantizer", "VariationalDequantizer"]

_COMPONENTS = 4


class Dequantizer(nn.Module, ABC):
    r"""``q(u | v, c)`` on ``(0, 1)^D``: the picture ``v`` of whole numbers becomes ``v + u``.

    For any density ``p`` of reals, ``P(v) = \int p(v + u) du >= exp E_q[log p(v + u) - log q(u | v)]``.
    """

    @abstractmethod
    def forward(
        self,
        v: Float[Tensor, "batch channels height width"],
        context: Float[Tensor, "batch context"] | None,
        rng: Rng,
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        """One draw per picture, ``(u, log q(u | v, c))``, with gradients to the parameters of ``q``."""


class UniformDequantizer(Dequantizer):
    """``u`` uniform, ``log q = 0``.

    A Note on the Evaluation of Generative Models (Theis, van den Oord & Bethge, 2016), section 3.1,
    https://arxiv.org/abs/1511.01844.
    """

    def forward(
        self,
        v: Float[Tensor, "batch channels height width"],
        context: Float[Tensor, "batch context"] | None,
        rng: Rng,
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        # drawn in float32, so that a float64 model scores the same reals
        return rng.uniform("dequantize", *v.shape[1:]).to(v.dtype), v.new_zeros(v.shape[0])


class VariationalDequantizer(Dequantizer):
    r"""``u = σ(T(e; v, c))`` with ``e`` standard logistic and ``T`` a flow of checkerboard couplings that see ``v``.

    .. math:: \log q(u | v) = \log σ'(e) - \log|\det ∂T/∂e| - \log σ'(T(e))

    Where ``T`` is the identity, ``q`` is uniform.

    Flow++ (Ho, Chen, Srinivas, Duan & Abbeel, 2019), section 3.1, https://arxiv.org/abs/1902.00275.

    Args:
        shape: Channels, height, width; at least two pixels.
        levels: The whole numbers are 0 .. levels - 1.
        context: Length of the context vector; 0 for none.
        couplings: Number of couplings in ``T``.
        width: Channels of their networks.
        blocks: Residual blocks of their networks.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        levels: int,
        *,
        context: int = 0,
        couplings: int = 2,
        width: int = 32,
        blocks: int = 1,
    ) -> None:
        super().__init__()
        self.levels = levels
        channels, height, wide = shape
        both = (2 * channels, height, wide)
        parts: list[Bijection] = [
            Checkerboard(
                MixtureCDF(_COMPONENTS, apart=False),
                both,
                1 if number % 2 else 0,
                fixed=channels,
                context=context,
                width=width,
                blocks=blocks,
            )
            for number in range(couplings)
        ]
        self.flow = Compose(*parts)

    def forward(
        self,
        v: Float[Tensor, "batch channels height width"],
        context: Float[Tensor, "batch context"] | None,
        rng: Rng,
    ) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, " batch"]]:
        e = rng.logistic("dequantize", *v.shape[1:]).to(v.dtype)
        seen = (2 * v + 1) / self.levels - 1
        moved, ladj = self.flow(torch.cat([seen, e], dim=1), context)
        t = moved[:, v.shape[1] :]
        return torch.sigmoid(t), _log_logistic(e) - ladj - _log_logistic(t)


def _log_logistic(t: Tensor) -> Tensor:
    return (logsigmoid(t) + logsigmoid(-t)).flatten(1).sum(dim=1)
