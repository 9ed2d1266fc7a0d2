"""Causal transformer: token ``t`` sees the tokens up to ``t``; with a cache it is run token by token."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CausalTransformer", "KeyValueCache"]


class KeyValueCache:
    """Keys and values of all layers for a known number of tokens, allocated once.

    Args:
        layers: Number of attention layers.
        like: Any tensor of the wanted device and dtype.
        shape: ``(batch, heads, tokens, size of a head)``.
    """

    def __init__(self, layers: int, like: Tensor, shape: tuple[int, int, int, int]) -> None:
        self.keys = [like.new_empty(shape) for _ in range(layers)]
        self.values = [like.new_empty(shape) for _ in range(layers)]


class _Block(nn.Module):
    """``h + W_o attention(norm h)``, then ``h + W_2 gelu(W_1 norm h)``."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.gather = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)
        for layer in (self.gather, self.outer):  # the sum over 2 * depth branches keeps its size
            nn.init.normal_(layer.weight, std=1 / math.sqrt(2 * depth * layer.in_features))
            nn.init.zeros_(layer.bias)

    def split(self, h: Float[Tensor, "batch tokens width"]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each ``(batch, heads, tokens, size)``."""
        q, k, v = self.qkv(self.attention_norm(h)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def finish(
        self, h: Float[Tensor, "batch tokens width"], attended: Float[Tensor, "batch heads tokens size"]
    ) -> Float[Tensor, "batch tokens width"]:
        h = h + self.gather(attended.transpose(1, 2).flatten(2))
        out: Tensor = h + self.outer(functional.gelu(self.inner(self.mlp_norm(h))))
        return out


class CausalTransformer(nn.Module):
    """Pre-norm decoder: ``depth`` blocks of causal attention and a perceptron, then a layer norm.

    Attention Is All You Need (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762; norms before
    the branches: On Layer Normalization in the Transformer Architecture (Xiong et al., 2020),
    https://arxiv.org/abs/2002.04745.

    Args:
        width: Size of a token.
        depth: Number of blocks.
        heads: Attention heads; must divide ``width``.

    >>> import torch
    >>> CausalTransformer(8, 2, 2)(torch.zeros(5, 3, 8)).shape
    torch.Size([5, 3, 8])
    """

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        assert width % heads == 0, "heads must divide width"
        self.width, self.heads = width, heads
        self.blocks = nn.ModuleList(_Block(width, heads, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, h: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        for block in self.blocks:
            assert isinstance(block, _Block)
            h = block.finish(h, functional.scaled_dot_product_attention(*block.split(h), is_causal=True))
        out: Tensor = self.norm(h)
        return out

    def cache(self, batch: int, tokens: int) -> KeyValueCache:
        """An empty cache for :meth:`step`."""
        shape = (batch, self.heads, tokens, self.width // self.heads)
        return KeyValueCache(len(self.blocks), self.norm.weight, shape)

    def step(self, h: Float[Tensor, "batch width"], cache: KeyValueCache, token: int) -> Float[Tensor, "batch width"]:
        """The output at place ``token`` alone, given that all places before it have been stepped through."""
        h = h[:, None]
        for block, keys, values in zip(self.blocks, cache.keys, cache.values, strict=True):
            assert isinstance(block, _Block)
            q, keys[:, :, token : token + 1], values[:, :, token : token + 1] = block.split(h)
            seen = slice(0, token + 1)
            h = block.finish(h, functional.scaled_dot_product_attention(q, keys[:, :, seen], values[:, :, seen]))
        out: Tensor = self.norm(h)[:, 0]
        return out
