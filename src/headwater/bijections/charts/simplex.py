"""Compositions: positive parts that sum to one, by breaking a stick or by the logarithms of ratios."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.charts.chart import Chart, Coordinate

__all__ = ["LogRatio", "StickBreaking"]


class StickBreaking(Chart):
    r"""With ``T_i = x_(i+1) + ... + x_K``: ``u_i = 1 - 2 (T_i / T_(i-1))^(K-i)`` for ``i = 1 .. K-1``, in ``[-1, 1]``.

    The share of the rest that part ``i`` takes is ``Beta(1, K - i)`` where the composition is uniform, and ``u_i`` is
    its distribution function, scaled: equal boxes hold equal volumes, and

    .. math:: \log|du/dx| = (K - 1) \log 2 + \log (K - 1)!

    everywhere: a flow that is the identity is uniform on the simplex. Parts may be zero.

    Precision: where the first part is nearly all, the others together are not told from zero below
    ``ε^(1/(K-1))`` (3e-4 for three parts in float32, 0.02 for five): put such a part last, or use :class:`LogRatio`.

    Densities are with respect to the Lebesgue measure of the first ``K - 1`` parts.

    Args:
        size: ``K``, at least two.

    >>> StickBreaking(3)(torch.tensor([[1.0, 0.0, 0.0]]))[0][0, 0].item()
    1.0
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        assert size >= 2, "a composition has at least two parts"
        self.size = size
        self.coordinates = (Coordinate.BOX,) * (size - 1)
        self.register_buffer("power", torch.arange(size - 1, 0, -1, dtype=torch.get_default_dtype()), persistent=False)
        self.power: Tensor
        self.log_scale = (size - 1) * math.log(2) + math.lgamma(size)

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        rest = x.flip(1).cumsum(dim=1).flip(1)
        kept = rest[:, 1:] / rest[:, :-1].clamp(min=torch.finfo(x.dtype).tiny)
        u = 1 - 2 * kept ** self.power.to(x.dtype)
        return u.clamp(-1, 1), x.new_full((x.shape[0],), self.log_scale)

    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        log_kept = torch.log((0.5 * (1 - u)).clamp(min=torch.finfo(u.dtype).tiny)) / self.power.to(u.dtype)
        kept = torch.exp(log_kept)
        rest = torch.cat([torch.ones_like(kept[:, :1]), kept.cumprod(dim=1)], dim=1)
        x = torch.cat([rest[:, :-1] * -torch.expm1(log_kept), rest[:, -1:]], dim=1)
        return x / x.sum(dim=1, keepdim=True)

    def extra_repr(self) -> str:
        return f"{self.size}"


class LogRatio(Chart):
    r"""``u_i = log(x_i / x_K)`` for ``i = 1 .. K-1``; ``x = softmax(u_1, ..., u_(K-1), 0)``.

    .. math:: \log|du/dx| = -\sum_{i=1}^K \log x_i

    For compositions whose parts differ by orders of magnitude; no part may be zero. Densities are with respect to
    the Lebesgue measure of the first ``K - 1`` parts.

    The Statistical Analysis of Compositional Data (Aitchison, 1982), https://doi.org/10.1111/j.2517-6161.1982.tb01195.x.

    Args:
        size: ``K``, at least two.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        assert size >= 2, "a composition has at least two parts"
        self.size = size
        self.coordinates = (Coordinate.LINE,) * (size - 1)

    def forward(
        self, x: Float[Tensor, "batch elements"]
    ) -> tuple[Float[Tensor, "batch coordinates"], Float[Tensor, " batch"]]:
        logs = torch.log(x)
        return logs[:, :-1] - logs[:, -1:], -logs.sum(dim=1)

    def inverse(self, u: Float[Tensor, "batch coordinates"]) -> Float[Tensor, "batch elements"]:
        return torch.softmax(torch.cat([u, torch.zeros_like(u[:, :1])], dim=1), dim=1)

    def extra_repr(self) -> str:
        return f"{self.size}"
