"""Couplings of every site with every other, in blocks above the diagonal, and logits made of fields and couplings."""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from headwater.networks.columns import take
from headwater.networks.one_hot import OneHot

__all__ = ["Couplings", "PairwiseLogits", "patterns_per_site"]

_MOST_BLOCKS = 8
_BLOCK = 512
_FEATURES = 6000
_FEWEST = 3


def patterns_per_site(one_hot: OneHot, wanted: int | None) -> int:
    """How many patterns of classes a site is coupled by: all where that is wanted or small, else what memory allows."""
    if wanted is not None:
        return min(wanted, one_hot.classes)
    return min(one_hot.classes, max(_FEWEST, _FEATURES // one_hot.sites))


class Couplings(nn.Module):
    r"""The matrix ``J`` between the features of ``L`` sites, without a site's coupling with itself.

    .. math:: \mathrm{forward}(h)_{j} = \sum_{i < j} h_i J_{ij} \;\Big(+ \sum_{i > j} h_i J_{ji}^T
              \text{ where symmetric}\Big)

    Only what lies above the diagonal is stored, in rows of blocks: half the memory of the square matrix, half the
    work of an optimizer, and in the causal form half the products.

    Args:
        sites: Number of sites ``L``.
        width: Features per site.
        symmetric: Whether a site sees those after it, too.
    """

    def __init__(self, sites: int, width: int, *, symmetric: bool) -> None:
        super().__init__()
        self.sites, self.width, self.symmetric = sites, width, symmetric
        count = max(1, min(_MOST_BLOCKS, sites * width // _BLOCK, sites // 2))
        edges = [round(k * sites / count) * width for k in range(count + 1)] if sites > 1 else [0]
        self.spans = tuple(pairwise(edges))
        self.within = nn.ParameterList(
            [nn.Parameter(torch.zeros(end - start, end - start)) for start, end in self.spans]
        )
        self.beyond = nn.ParameterList(
            [nn.Parameter(torch.zeros(end - start, sites * width - end)) for start, end in self.spans[:-1]]
        )
        widest = max((end - start for start, end in self.spans), default=0)
        site = torch.arange(widest) // width
        self.register_buffer("above", site[:, None] < site, persistent=False)

    above: Bool[Tensor, "widest widest"]

    def forward(self, h: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
        out = [torch.zeros_like(h[:, start:end]) for start, end in self.spans] or [torch.zeros_like(h)]
        for k, (start, end) in enumerate(self.spans):
            within = self._masked(k)
            part = h[:, start:end]
            out[k] = out[k] + part @ within
            if self.symmetric:
                out[k] = out[k] + part @ within.T
            if k < len(self.beyond):
                after = (part @ self.beyond[k]).split([b - a for a, b in self.spans[k + 1 :]], dim=1)
                out[k + 1 :] = [old + new for old, new in zip(out[k + 1 :], after, strict=True)]
                if self.symmetric:
                    out[k] = out[k] + h[:, end:] @ self.beyond[k].T
        return torch.cat(out, dim=1)

    def _masked(self, k: int) -> Tensor:
        block = self.within[k]
        return block * self.above[: len(block), : len(block)]

    def square_sum(self) -> Float[Tensor, ""]:
        """``sum_{i<j} |J_ij|^2``."""
        blocks = [self._masked(k) for k in range(len(self.within))] + list(self.beyond)
        return torch.stack([block.pow(2).sum() for block in blocks]).sum()

    def dense(self) -> Float[Tensor, "features features"]:
        """The matrix whose product with ``h`` is :meth:`forward`."""
        size = self.sites * self.width
        device = self.above.device
        matrix = torch.zeros(size, size, dtype=self.within[0].dtype if self.spans else None, device=device)
        for k, (start, end) in enumerate(self.spans):
            matrix[start:end, start:end] = self._masked(k)
            if k < len(self.beyond):
                matrix[start:end, end:] = self.beyond[k]
        return matrix + matrix.T if self.symmetric else matrix

    def extra_repr(self) -> str:
        kind = "symmetric" if self.symmetric else "causal"
        return f"sites={self.sites}, width={self.width}, blocks={len(self.spans)}, {kind}"


class PairwiseLogits(nn.Module):
    r"""``eta_i(a) = f_i(a) + c . U_i(a) + sum_j A_a J_ij (A^T h_j)``: fields, a context's fields and couplings.

    The features of a site are ``A^T (h_j - p_j)``: the one-hot row less what the fields at the start expect of it,
    in an orthonormal basis ``A`` of ``width`` patterns of classes; so couplings add what is *not* explained by the
    fields, and a missing value, whose features are zero, adds nothing.

    Args:
        one_hot: Of the event.
        width: Patterns per site.
        context: Length of the context.
        symmetric: See :class:`Couplings`.
    """

    basis: Float[Tensor, "classes width"]
    start: Float[Tensor, "sites classes"]
    rows: Float[Tensor, ""]
    order: Int64[Tensor, " sites"]
    back: Int64[Tensor, " sites"]

    def __init__(self, one_hot: OneHot, width: int, context: int, *, symmetric: bool) -> None:
        super().__init__()
        self.one_hot, self.width = one_hot, width
        self.couplings = Couplings(one_hot.sites, width, symmetric=symmetric)
        self.fields = nn.Parameter(torch.zeros(one_hot.sites, one_hot.classes))
        self.given = nn.Parameter(torch.zeros(context, one_hot.sites, one_hot.classes)) if context else None
        self.register_buffer("basis", torch.eye(one_hot.classes, width))
        self.register_buffer("start", torch.zeros(one_hot.sites, one_hot.classes))
        self.register_buffer("rows", torch.ones(()))
        self.register_buffer("order", torch.arange(one_hot.sites))
        self.register_buffer("back", torch.arange(one_hot.sites))

    @torch.no_grad()
    def begin(
        self, fields: Float[Tensor, "sites classes"], patterns: Float[Tensor, "classes width"], rows: float
    ) -> None:
        """Fields to start from and to stay near; patterns, of which the directions count; events in effect.

        Where all classes couple the basis is that of one-hot rows, in which one prior serves all widths.
        """
        self.fields.copy_(fields)
        self.start.copy_(fields)
        self.rows.fill_(rows)
        if self.width < self.one_hot.classes:
            self.basis.copy_(patterns / patterns.norm(dim=0))

    def arrange(self, order: Int64[Tensor, " sites"]) -> None:
        """Let the sites come in this order."""
        self.order.copy_(order)
        self.back.copy_(torch.argsort(order))

    def features(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch sites width"]:
        """``A^T (h_i - p_i)`` in the order of the sites; zeros where a value is missing."""
        h = self.one_hot.features(x)
        return ((h - self.expected() * h.sum(dim=2, keepdim=True)) @ self.basis)[:, self.order]

    def expected(self) -> Float[Tensor, "sites classes"]:
        """``p_i``: the probabilities that the fields at the start stand for."""
        return torch.softmax(self.one_hot.masked(self.start), dim=1)

    def alone(self, context: Float[Tensor, "batch context"] | None) -> Float[Tensor, "*batch sites classes"]:
        """Fields and the context's fields, without couplings."""
        if self.given is None or context is None:
            return self.fields
        return self.fields + torch.einsum("bk,klc->blc", context.to(self.fields.dtype), self.given)

    def forward(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch sites classes"]:
        h = self.features(x)
        coupled = self.couplings(h.flatten(1)).reshape(h.shape)
        return self.alone(context) + take(coupled, self.back, self.order, 1) @ self.basis.T

    def penalty(self, couplings: Float[Tensor, ""] | float, fields: float) -> Float[Tensor, ""]:
        r"""Minus the log-density of normal priors per event, less constants.

        .. math:: \frac{1}{2 N} \Big( \frac{L}{s_J^2} \sum_{i<j} |J_{ij}|^2
                  + \frac{1}{s_f^2} \sum_i |f_i - f_i^0|^2 + |U|^2 \Big)

        Args:
            couplings: ``s_J``, the standard deviation of all couplings of a site together, per feature.
            fields: ``s_f``, that of a field about its start.
        """
        total = self.couplings.sites / couplings**2 * self.couplings.square_sum()
        total = total + (self.fields - self.start).pow(2).sum() / fields**2
        if self.given is not None:
            total = total + self.given.pow(2).sum()
        return total / (2 * self.rows)
