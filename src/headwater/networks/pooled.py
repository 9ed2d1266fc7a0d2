"""Networks whose output does not depend on the order, or on the place in time, of what they read."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.mlp import ACTIVATIONS, MLP

__all__ = ["DeepSet", "SeriesEncoder"]


class DeepSet(nn.Module):
    r"""A summary of exchangeable members: :math:`ρ\left(\tfrac1m \sum_i φ(x_i)\right)`.

    Reference: Deep Sets (Zaheer, Kottur, Ravanbakhsh, Poczos, Salakhutdinov & Smola, 2017),
    https://arxiv.org/abs/1703.06114.

    Args:
        features: Length of a member.
        out: Length of the summary.
        width: Hidden width of both networks and length of the mean.
        blocks: Residual blocks of each.

    >>> import torch
    >>> net = DeepSet(2, 3, width=8)
    >>> x = torch.randn(4, 10, 2)
    >>> bool(torch.allclose(net(x), net(x.flip(1)), atol=1e-6))
    True
    """

    def __init__(self, features: int, out: int, *, width: int = 64, blocks: int = 1) -> None:
        super().__init__()
        self.inner = MLP(features, width, width=width, blocks=blocks)
        self.outer = MLP(width, out, width=width, blocks=blocks)

    def forward(self, x: Float[Tensor, "batch members features"]) -> Float[Tensor, "batch out"]:
        batch, members, features = x.shape
        each = self.inner(x.reshape(batch * members, features)).reshape(batch, members, -1)
        out: Tensor = self.outer(each.mean(dim=1))
        return out


class SeriesEncoder(nn.Module):
    """A summary of a series: strided convolutions over time, the mean over what is left, a residual network.

    Each of ``levels`` convolutions of five steps halves the length.

    Args:
        features: Numbers per time.
        out: Length of the summary.
        width: Channels.
        levels: Convolutions.

    >>> import torch
    >>> SeriesEncoder(1, 3, width=8)(torch.zeros(4, 50, 1)).shape
    torch.Size([4, 3])
    """

    def __init__(self, features: int, out: int, *, width: int = 64, levels: int = 3) -> None:
        super().__init__()
        sizes = [features, *([width] * levels)]
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Conv1d(before, after, 5, stride=2, padding=2), ACTIVATIONS["silu"]()]
        self.inner = nn.Sequential(*layers)
        self.outer = MLP(width, out, width=width, blocks=1)

    def forward(self, x: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch out"]:
        out: Tensor = self.outer(self.inner(x.transpose(1, 2)).mean(dim=2))
        return out
