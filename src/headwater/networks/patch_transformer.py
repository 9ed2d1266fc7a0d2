"""Causal transformer over the patches of a picture: what is known before each patch, in one pass or patch by patch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.networks.columns import Columns
from headwater.networks.patches import causal_window, patch_order
from headwater.networks.transformer import CausalTransformer, KeyValueCache

__all__ = ["PatchState", "PatchTransformer"]


@dataclass(frozen=True, eq=False)
class PatchState:
    """What :meth:`PatchTransformer.step` remembers; it belongs to the caller and is written in place.

    Args:
        cache: Keys and values of the patches so far.
        fixed: What every place is given whatever the picture: its row, column and the context.
        known: The picture's numbers so far, and a zero that stands for "not known".
    """

    cache: KeyValueCache
    fixed: Float[Tensor, "batch tokens width"]
    known: Float[Tensor, "batch numbers_and_zero"]


class PatchTransformer(nn.Module):
    """``h_t = transformer(place_t + shown_{t-1} + window_t + c)``: a summary of the patches before patch ``t``.

    The picture is cut into patches, row by row. The input at place ``t`` is the patch before as the caller shows it,
    the known numbers around patch ``t``, the place (row and column) and the context; nothing
    of patch ``t`` or of any after it.

    Args:
        shape: Channels, height, width of the picture.
        patch: Height and width of a patch; must divide the picture's.
        width: Size of a token.
        depth: Transformer blocks.
        heads: Attention heads; must divide ``width``.
        reach: Pixels around a patch that its token is shown directly; 0: none.
        context: Length of the context vector; 0 for none.

    >>> net = PatchTransformer((1, 4, 4), (2, 2), width=8, depth=1, heads=2)
    >>> net(torch.zeros(5, 3, 8), torch.zeros(5, 17)).shape
    torch.Size([5, 4, 8])
    """

    order: Int64[Tensor, "tokens elements"]
    window: Int64[Tensor, "tokens neighbours"]

    def __init__(
        self,
        shape: tuple[int, int, int],
        patch: tuple[int, int],
        *,
        width: int,
        depth: int,
        heads: int,
        reach: int = 0,
        context: int = 0,
    ) -> None:
        super().__init__()
        _, height, across = shape
        assert height % patch[0] == 0, "a patch must divide the picture"
        assert across % patch[1] == 0, "a patch must divide the picture"
        self.register_buffer("order", patch_order(shape, patch), persistent=False)
        order = self.order.flatten().tolist()
        self.by_patch, self.in_place = Columns(order, of=len(order)), Columns.inverse(order)
        self.register_buffer("window", causal_window(shape, patch, reach), persistent=False)
        self.tokens, self.elements = self.order.shape
        self.near = nn.Linear(self.window.shape[1], width, bias=False) if self.window.shape[1] else None
        self.row = nn.Parameter(torch.randn(height // patch[0], 1, width) * 0.1)
        self.column = nn.Parameter(torch.randn(1, across // patch[1], width) * 0.1)
        self.given = nn.Linear(context, width, bias=False) if context else None
        self.transformer = CausalTransformer(width, depth, heads)

    def patches(self, flat: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch tokens elements"]:
        """The elements of flattened pictures by patch."""
        patches: Tensor = self.by_patch(flat).reshape(-1, *self.order.shape)
        return patches

    def flatten(self, patches: Float[Tensor, "batch tokens elements"]) -> Float[Tensor, "batch pixels"]:
        """Undo :meth:`patches`."""
        flat: Tensor = self.in_place(patches.flatten(1))
        return flat

    def forward(
        self,
        shown: Float[Tensor, "batch tokens_but_last width"] | None,
        known: Float[Tensor, "batch numbers_and_zero"],
        context: Float[Tensor, "batch context"] | None = None,
    ) -> Float[Tensor, "batch tokens width"]:
        """The summary at every place.

        Args:
            shown: All patches but the last as tokens; None where there is one patch only.
            known: The flattened picture in numbers, and a zero.
            context: The context.
        """
        h = self._fixed(known, context)
        if shown is not None:
            h = h + nn.functional.pad(shown, (0, 0, 1, 0))
        if self.near is not None:
            h = h + self.near(known[:, self.window])
        out: Tensor = self.transformer(h)
        return out

    def start(self, n: int, context: Float[Tensor, "n context"] | None = None) -> PatchState:
        """The state before the first patch of ``n`` pictures."""
        known = self.row.new_zeros(n, self.tokens * self.elements + 1)
        return PatchState(self.transformer.cache(n, self.tokens), self._fixed(known, context), known)

    def step(
        self, state: PatchState, token: int, shown: Float[Tensor, "batch width"] | None
    ) -> Float[Tensor, "batch width"]:
        """The summary at place ``token`` alone, after all places before it; ``shown`` is the patch before."""
        h = state.fixed[:, token]
        if shown is not None:
            h = h + shown
        if self.near is not None:
            h = h + self.near(state.known[:, self.window[token]])
        return self.transformer.step(h, state.cache, token)

    def _fixed(self, like: Tensor, context: Tensor | None) -> Float[Tensor, "batch tokens width"]:
        h = (self.row + self.column).flatten(0, 1).expand(like.shape[0], -1, -1)
        return h if self.given is None or context is None else h + self.given(context.to(h.dtype))[:, None]

    def extra_repr(self) -> str:
        return f"{self.tokens} tokens of {self.elements} elements"
