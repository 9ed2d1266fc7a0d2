"""Planar flow: events move along one direction as they stand along another."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.bijections.bijection import Bijection
from headwater.bijections.parameters import ContextParameters
from headwater.bijections.roots import increasing_inverse

__all__ = ["Planar"]

_LEAST = 1e-2  # of 1 + w'u: how far from folding


class Planar(Bijection):
    r"""``z = x + û tanh(w·x + b)`` with ``w·û > -1``, and ``log|det| = \log(1 + (w·û) tanh'(w·x + b))``.

    ``û`` is ``u`` with its part along ``w`` changed so that the map is one-to-one. For the inverse,
    ``a = w·x`` solves ``a + (w·û) tanh(a + b) = w·z``, an increasing function of one number.

    Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015), https://arxiv.org/abs/1505.05770,
    section 4.1 and appendix A.1.

    Args:
        features: Length of the vector.
        context: Length of the context vector, which shifts ``w``, ``u`` and ``b``; 0 for none.
    """

    def __init__(self, features: int, *, context: int = 0) -> None:
        super().__init__()
        self.features = features
        w, u = torch.randn(features) / features**0.5, 0.1 * torch.randn(features)
        self.parameters_of = ContextParameters(torch.cat([w, u, torch.zeros(1)]), context=context)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        w, u, b, product = self._split(x, context)
        bent = torch.tanh((w * x).sum(dim=1) + b)
        return x + u * bent[:, None], torch.log1p(product * (1 - bent.square()))

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        w, u, b, product = self._split(z, context)
        along, reach = (w * z).sum(dim=1), product.abs().detach()

        def line(a: Tensor) -> tuple[Tensor, Tensor]:
            bent = torch.tanh(a + b)
            return a + product * bent, torch.log1p(product * (1 - bent.square()))

        a, ladj = increasing_inverse(line, along, along.detach() - reach, along.detach() + reach)
        return z - u * torch.tanh(a + b)[:, None], ladj

    def _split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        w, u, b = torch.split(self.parameters_of(len(x), context), [self.features, self.features, 1], dim=1)
        raw, square = (w * u).sum(dim=1), w.square().sum(dim=1).clamp(min=1e-12)
        product = torch.nn.functional.softplus(raw) - 1 + _LEAST
        return w, u + ((product - raw) / square)[:, None] * w, b[:, 0], product

    def extra_repr(self) -> str:
        return f"{self.features}"
