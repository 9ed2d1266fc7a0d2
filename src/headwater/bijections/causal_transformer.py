"""Autoregressive bijection on patches: a causal transformer says how the elements of the next patch move."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection
from headwater.bijections.guidance import Guidance
from headwater.bijections.jacobi import jacobi
from headwater.bijections.univariate import Univariate
from headwater.networks.masked import MaskedMLP
from headwater.networks.patch_transformer import PatchTransformer

__all__ = ["Solver", "TransformerAutoregressive"]

Solver = Literal["sweep", "jacobi"]

_START = 0.1


class TransformerAutoregressive(Bijection):
    """``z_tj = g(x_tj; θ_tj(x_{<t}, x_{t,<j}, c))`` for the elements ``j`` of the patches ``t`` of a picture.

    A causal transformer summarizes the patches before ``t``; a masked network adds the elements before ``j`` within
    the patch (without it, ``inner=0``, the elements of a patch are independent given the earlier ones, as in the
    paper, where ``g`` is affine: ``z_t = (x_t - μ(x_{<t})) exp(-α(x_{<t}))``). The Jacobian is triangular: the
    log-determinants are the sums of the log-derivatives. ``forward`` is one pass. ``inverse`` with gradients takes a
    pass per patch, without one sweep over a static key and value cache (:meth:`generate`), which gives the same.
    Vectors are pictures of one row with patches of one element.

    Normalizing Flows are Capable Generative Models (Zhai, Zhang, Nakkiran, Berthelot, Gu, Zheng, Chen, Bautista,
    Jaitly & Susskind, 2024), https://arxiv.org/abs/2412.06329.

    Args:
        univariate: ``g``.
        shape: Channels, height, width of the flattened picture.
        patch: Height and width of a patch; must divide the picture's.
        context: Length of the context vector; 0 for none.
        width: Size of a token.
        depth: Transformer blocks.
        heads: Attention heads; must divide ``width``.
        reach: Pixels around a patch that its token is shown directly, where they come before it; 0: none.
        inner: Hidden units of the masked network within a patch; 0: none.
    """

    def __init__(
        self,
        univariate: Univariate,
        shape: tuple[int, int, int],
        patch: tuple[int, int],
        *,
        context: int = 0,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        reach: int = 0,
        inner: int = 0,
    ) -> None:
        super().__init__()
        self.univariate = univariate
        self.reader = PatchTransformer(
            shape, patch, width=width, depth=depth, heads=heads, reach=reach, context=context
        )
        tokens, elements = self.reader.tokens, self.reader.elements
        self.show = nn.Linear(elements, width, bias=False) if tokens > 1 else None
        self.within: MaskedMLP | None = None
        if inner and elements > 1:
            self.within = MaskedMLP(
                elements, univariate.size, width=inner, blocks=1, condition=width, activation="gelu", scale=_START
            )
            self.within.begin_at(univariate.start())
        self.exit = nn.Linear(width, elements * univariate.size) if self.within is None else None
        if self.exit is not None:
            nn.init.normal_(self.exit.weight, std=_START / width**0.5)
            nn.init.normal_(self.exit.bias, std=0.01)
            self.exit.bias.data.add_(univariate.start().repeat(elements))

    def forward(
        self, x: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        h, patches = self._read(x, context), self.reader.patches(x)
        theta = self._theta(h.flatten(0, 1), patches.flatten(0, 1)).view(*h.shape[:2], -1, self.univariate.size)
        z, ladj = self.univariate(patches, theta)
        return self.reader.flatten(z), ladj.sum(dim=(1, 2))

    def inverse(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        return self.inverse_dense(z, context) if torch.is_grad_enabled() else self.generate(z, context)

    def inverse_dense(
        self, z: Float[Tensor, "batch features"], context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """The inverse with gradients: a whole pass of the transformer for every patch."""
        noise, total = self.reader.patches(z), z.new_zeros(z.shape[0])
        done: list[Tensor] = []
        for token in range(self.reader.tokens):
            rest = torch.zeros_like(noise[:, token:])
            x = torch.cat([torch.stack(done, dim=1), rest], dim=1) if done else rest
            h = self._read(self.reader.flatten(x), context)[:, token]
            patch, ladj = self._patch_dense(noise[:, token], h)
            done.append(patch)
            total = total + ladj.sum(dim=1)
        return self.reader.flatten(torch.stack(done, dim=1)), total

    @torch.no_grad()
    def generate(
        self,
        z: Float[Tensor, "batch features"],
        context: Float[Tensor, "batch context"] | None = None,
        *,
        guidance: float = 1.0,
        free: Float[Tensor, "batch context"] | None = None,
        solver: Solver = "sweep",
        tolerance: float = 0.0,
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, " batch"]]:
        """The inverse without gradients, and with :class:`~headwater.bijections.guidance.Guidance` if asked for.

        Args:
            z: Noise.
            context: The context.
            guidance: Its weight: 1 as trained, 0 ignores the context.
            free: The context that stands for "absent"; needed where ``guidance`` is not 1.
            solver: ``sweep``: patch after patch, with a cache of keys and values. ``jacobi``: all patches at once,
                again and again from the last guess, see :func:`~headwater.bijections.jacobi.jacobi`.
            tolerance: Of the Jacobi iteration.
        """
        given = Guidance(context, free, guidance)
        return self._jacobi(z, given, tolerance) if solver == "jacobi" else self._sweep(z, given)

    def _sweep(self, z: Tensor, given: Guidance) -> tuple[Tensor, Tensor]:
        noise, total = self.reader.patches(z), z.new_zeros(z.shape[0])
        state = self.reader.start(given.copies * len(z), given.context)
        patch: Tensor | None = None
        for token in range(self.reader.tokens):
            shown = None if patch is None or self.show is None else self.show(patch)
            h = self.reader.step(state, token, shown)
            patch, ladj = self._patch_sweep(noise[:, token], h, given)
            state.known[:, self.reader.order[token]] = patch
            total += ladj
        return state.known[: len(z), :-1].clone(), total

    def _jacobi(self, z: Tensor, given: Guidance, tolerance: float) -> tuple[Tensor, Tensor]:
        def update(rows: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            return self._pass(z[rows], x, given.rows(rows))

        return jacobi(update, torch.zeros_like(z), self.reader.tokens, tolerance)

    def _pass(self, z: Tensor, x: Tensor, given: Guidance) -> tuple[Tensor, Tensor]:
        """All patches from the last guess of the ones before them."""
        n, (tokens, elements) = len(z), self.reader.order.shape
        h = self._read(x.repeat(given.copies, 1), given.context).flatten(0, 1)
        patches, ladj = self._patch_sweep(self.reader.patches(z).flatten(0, 1), h, given)
        return self.reader.flatten(patches[: n * tokens].view(n, tokens, elements)), ladj.view(n, tokens).sum(dim=1)

    def _read(self, x: Tensor, context: Tensor | None) -> Float[Tensor, "batch tokens width"]:
        shown = None if self.show is None else self.show(self.reader.patches(x)[:, :-1])
        out: Tensor = self.reader(shown, nn.functional.pad(x, (0, 1)), context)
        return out

    def _theta(self, h: Float[Tensor, "n width"], patch: Float[Tensor, "n elements"]) -> Tensor:
        """The parameters of all elements of a patch, of which the masked network sees the ones before."""
        if self.within is not None:
            out: Tensor = self.within(patch, h)
        else:
            assert self.exit is not None
            out = self.exit(h)
        return out.view(*patch.shape, self.univariate.size)

    def _patch_dense(self, z: Float[Tensor, "n elements"], h: Float[Tensor, "n width"]) -> tuple[Tensor, Tensor]:
        x, ladj = torch.zeros_like(z), z
        for _ in range(1 if self.within is None else z.shape[1]):
            x, ladj = self.univariate.inverse(z, self._theta(h, x))
        return x, ladj

    def _patch_sweep(self, z: Tensor, h: Tensor, given: Guidance) -> tuple[Tensor, Tensor]:
        """A patch of each row, as often as ``h`` has copies of the row, and the sum of its log-derivatives."""
        if self.within is None:
            parameters = self._theta(h, z.new_zeros(len(h), z.shape[1]))
            x, ladj = self.univariate.inverse(z, given.mix(parameters))
            return x.repeat(given.copies, 1), ladj.sum(dim=1)
        total = z.new_zeros(len(z))

        def choose(element: int, parameters: Tensor) -> Tensor:
            x, ladj = self.univariate.inverse(z[:, element], given.mix(parameters))
            total.add_(ladj)
            return x.repeat(given.copies)[:, None]

        return self.within.sweep(len(h), choose, h), total
