"""Sylvester flow: a planar flow of several directions at once."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection
from headwater.bijections.householder import reflect
from headwater.bijections.parameters import ContextParameters
from headwater.bijections.roots import increasing_inverse

__all__ = ["Sylvester"]

_MOST = 0.995  # of the product of the diagonals, in size: how far from folding


class Sylvester(Bijection):
    r"""``z = x + Q R tanh(S Q'x + b)`` with orthonormal columns ``Q`` and upper triangular ``R``, ``S``.

    .. math:: \log|\det| = \sum_i \log(1 + R_{ii} S_{ii} \tanh'((S Q'x + b)_i))

    The diagonals are tanh of free numbers, so that ``|R_ii S_ii| < 1`` and no factor vanishes. For the
    inverse, ``a = Q'x`` solves the triangular system ``a + R tanh(S a + b) = Q'z`` from its last number
    to its first, an increasing function of one number each.

    Sylvester Normalizing Flows for Variational Inference (van den Berg, Hasenclever, Tomczak & Welling, 2018),
    https://arxiv.org/abs/1803.05649; Q is their Householder variant.

    Args:
        features: Length of the vector ``D``.
        directions: Columns of ``Q``, at most ``D``.
        context: Length of the context vector, which shifts ``R``, ``S`` and ``b``; 0 for none.
    """

    def __init__(self, features: int, directions: int | None = None, *, context: int = 0) -> None:
        super().__init__()
        m = min(directions or features, features)
        self.features, self.directions = features, m
        self.normals = nn.Parameter(torch.randn(m, features)) if features > 1 else None
        self.parameters_of = ContextParameters(0.1 * torch.randn(2 * m * m + m), context=context)

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        r, s, b = self._split(x, context)
        q = self._columns()
        bent = torch.tanh(torch.einsum("bij,bj->bi", s, x @ q) + b)
        return x + torch.einsum("bij,bj->bi", r, bent) @ q.T, self._ladj(r, s, bent)

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        r, s, b = self._split(z, context)
        q = self._columns()
        target = z @ q
        found: list[Tensor] = []  # a_M, a_{M-1}, ...: each needs those after it
        bends: list[Tensor] = []
        for i in reversed(range(self.directions)):
            later_a, later_bend = (torch.stack(parts[::-1], dim=1) if parts else None for parts in (found, bends))
            shift, moved = b[:, i], target[:, i]
            if later_a is not None and later_bend is not None:
                shift = shift + (s[:, i, i + 1 :] * later_a).sum(dim=1)
                moved = moved - (r[:, i, i + 1 :] * later_bend).sum(dim=1)
            a = _solve(moved, r[:, i, i], s[:, i, i], shift)
            found.append(a)
            bends.append(torch.tanh(s[:, i, i] * a + shift))
        bent = torch.stack(bends[::-1], dim=1)
        return z - torch.einsum("bij,bj->bi", r, bent) @ q.T, -self._ladj(r, s, bent)

    def _columns(self) -> Float[Tensor, "features directions"]:
        free = self.parameters_of.free
        first = torch.eye(self.directions, self.features, dtype=free.dtype, device=free.device)
        return first.T if self.normals is None else reflect(first, self.normals).T

    def _split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        m = self.directions
        raw = self.parameters_of(len(x), context)
        r, s = raw[:, : m * m].reshape(-1, m, m), raw[:, m * m : 2 * m * m].reshape(-1, m, m)
        r, s = (_MOST**0.5 * torch.diag_embed(torch.tanh(a.diagonal(dim1=1, dim2=2))) + a.triu(1) for a in (r, s))
        return r, s, raw[:, 2 * m * m :]

    @staticmethod
    def _ladj(r: Tensor, s: Tensor, bent: Tensor) -> Tensor:
        product = r.diagonal(dim1=1, dim2=2) * s.diagonal(dim1=1, dim2=2)
        return torch.log1p(product * (1 - bent.square())).sum(dim=1)

    def extra_repr(self) -> str:
        return f"{self.features}, directions={self.directions}"


def _solve(target: Tensor, r: Tensor, s: Tensor, shift: Tensor) -> Tensor:
    def line(a: Tensor) -> tuple[Tensor, Tensor]:
        bent = torch.tanh(s * a + shift)
        return a + r * bent, torch.log1p(r * s * (1 - bent.square()))

    reach = r.abs().detach() + 1e-6
    a, _ = increasing_inverse(line, target, target.detach() - reach, target.detach() + reach)
    return a
