"""Integrals from zero by Gauss and Legendre's rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["IntegralFromZero"]


class IntegralFromZero(nn.Module):
    r"""``∫_0^x g(u) du ≈ x \sum_i w_i g(x t_i)``: exact for polynomials of degree below ``2 nodes``.

    A positive ``g`` gives an increasing function of x for polynomials; for other functions the rule's error
    must be far below the least value of ``g``.

    Args:
        nodes: Points of the rule.

    >>> rule = IntegralFromZero(2)
    >>> round(rule(lambda u: u.square(), torch.tensor([3.0])).item(), 4)
    9.0
    """

    nodes: Float[Tensor, " nodes"]
    weights: Float[Tensor, " nodes"]

    def __init__(self, nodes: int) -> None:
        super().__init__()
        t, w = np.polynomial.legendre.leggauss(nodes)
        self.register_buffer("nodes", torch.from_numpy(0.5 * (t + 1)), persistent=False)
        self.register_buffer("weights", torch.from_numpy(0.5 * w), persistent=False)

    def forward(self, g: Callable[[Tensor], Tensor], x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The integral; ``g`` is called once with all points, ``(*shape, nodes)``."""
        values = g(x[..., None] * self.nodes.to(x.dtype))
        return x * (values * self.weights.to(x.dtype)).sum(dim=-1)
