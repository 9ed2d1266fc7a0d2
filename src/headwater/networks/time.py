"""Embedding of a time in [0, 1], with or without a context vector."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["TimeEmbedding", "fourier"]

_SOON = 3e-3  # times to the end of the path below it are not told apart by the logarithmic clock


def fourier(
    t: Float[Tensor, "*batch"], frequencies: Float[Tensor, " count"]
) -> Float[Tensor, "*batch twice_the_count"]:
    """``[cos(w t), sin(w t)]`` for every angular frequency w: a smooth code of t in which near times differ.

    Reference: Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains (Tancik et al.,
    2020), https://arxiv.org/abs/2006.10739.
    """
    angle = t[..., None] * frequencies
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class TimeEmbedding(nn.Module):
    """``W2 silu(W1 [fourier(t), fourier(w), t, w] + V c)``: what every block of a network is modulated by.

    ``w = log(1 + (1 - t) / e) / log(1 + 1 / e)``, with ``e = 0.003``, is a logarithmic clock of the end of the path:
    structure of width d forms where 1 - t is about d, so what happens between 0.01 and 0.02 deserves as much room as
    what happens between 0.1 and 0.2. The angular frequencies are geometric from pi/2, a quarter of a turn over [0, 1],
    to ``highest``. The context enters without a bias, so that a context of zeros ("absent") is the unconditional
    network.

    Args:
        features: Length of the embedding.
        context: Length of the context vector; 0 for none.
        norm: Euclidean norm of a typical context: one for a label, the root of their number for standardized columns.
        count: Number of frequencies, for each clock.
        highest: The highest angular frequency.

    >>> TimeEmbedding(16)(torch.zeros(5), None).shape
    torch.Size([5, 16])
    """

    frequencies: Tensor

    def __init__(
        self, features: int, context: int = 0, *, norm: float = 1.0, count: int = 8, highest: float = 32.0
    ) -> None:
        super().__init__()
        exponents = torch.linspace(0, 1, count)
        frequencies = math.pi / 2 * (highest * 2 / math.pi) ** exponents
        self.register_buffer("frequencies", frequencies, persistent=False)  # a constant of the code, not a weight
        self.entry = nn.Linear(4 * count + 2, features)
        self.context = nn.Linear(context, features, bias=False) if context else None
        if self.context is not None:  # torch's own start is so faint that a label takes long to be heard
            nn.init.normal_(self.context.weight, std=1 / norm)
        self.exit = nn.Linear(features, features)

    def forward(
        self, t: Float[Tensor, " batch"], context: Float[Tensor, "batch context"] | None
    ) -> Float[Tensor, "batch features"]:
        w = torch.log1p((1 - t) / _SOON) / math.log1p(1 / _SOON)
        waves = [fourier(clock, self.frequencies) for clock in (t, w)]
        h = self.entry(torch.cat([*waves, t[:, None], w[:, None]], dim=-1))
        if self.context is not None and context is not None:
            h = h + self.context(context)
        out: Tensor = self.exit(nn.functional.silu(h))
        return out
