"""Layers of sigmoids as an increasing map of the line."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from headwater.bijections.roots import tilted
from headwater.bijections.side_by_side import side_by_side
from headwater.bijections.univariate import Searched

__all__ = ["DeepSigmoidal"]

_LOG_BOUND = 2.5
_SHIFT_BOUND = 10.0
_SCALE = 0.6


class DeepSigmoidal(Searched):
    r"""``h_{l+1} = logit(W_l σ(e^{s_l} ⊙ U_l h_l + b_l))``, from ``h_0 = x`` to ``y = h_L``.

    ``U`` and ``W`` have rows of positive numbers that sum to one, so that every layer increases in each input.
    Hidden layers have ``width`` numbers, the ends one. The log-derivative is the chain rule in logarithms:
    matrices of log-derivatives, multiplied by logsumexp. The whole is tilted by a
    thousandth of the identity, so that nothing is flat; the inverse is found by Newton's method.

    One layer is the sigmoidal flow, more are the deep dense one, of Neural Autoregressive Flows (Huang, Krueger,
    Lacoste & Courville, 2018), https://arxiv.org/abs/1804.00779, sections 3.1 and 3.2.

    Args:
        layers: ``L``.
        width: Sigmoids per layer.

    Parameters per element: of each layer ``U`` (where it has more than one input), ``s``, ``b``, ``W``.
    """

    def __init__(self, layers: int = 2, width: int = 8) -> None:
        super().__init__()
        assert layers >= 1
        self.layers, self.width = layers, width
        ends = [1, *([width] * (layers - 1)), 1]
        self._shapes = [(width * n if n > 1 else 0, width, width, m * width) for n, m in pairwise(ends)]
        self.size = sum(sum(sizes) for sizes in self._shapes)

    def start(self) -> Float[Tensor, " size"]:
        means, log_scale = side_by_side(self.width, _SCALE)
        shifts = -means * math.exp(-log_scale)
        parts = []
        for u, s, _, w in self._shapes:
            scale = torch.full((s,), -log_scale / (1 - abs(log_scale) / _LOG_BOUND))
            parts += [torch.zeros(u), scale, shifts / (1 - shifts.abs() / _SHIFT_BOUND), torch.zeros(w)]
        return torch.cat(parts)

    def value(
        self, x: Float[Tensor, "*shape"], parameters: Float[Tensor, "*shape size"]
    ) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        h, ladj = x[..., None], torch.zeros_like(x)[..., None]  # of each number: value and log-derivative by x
        start = 0
        for sizes in self._shapes:
            u, s, b, w = torch.split(parameters[..., start : start + sum(sizes)], list(sizes), dim=-1)
            start += sum(sizes)
            h, ladj = self._layer(h, ladj, u, s, b, w)
        return tilted(x, h[..., 0], ladj[..., 0])

    def _layer(self, h: Tensor, ladj: Tensor, u: Tensor, s: Tensor, b: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        shape, k = h.shape[:-1], self.width
        if h.shape[-1] == 1:
            mixed, mixed_ladj = h.expand(*shape, k), ladj.expand(*shape, k)
        else:
            log_u = torch.log_softmax(u.reshape(*shape, k, -1), dim=-1)
            mixed = (log_u.exp() * h[..., None, :]).sum(dim=-1)
            mixed_ladj = torch.logsumexp(log_u + ladj[..., None, :], dim=-1)
        scale = s / (1 + s.abs() / _LOG_BOUND)
        a = scale.exp() * mixed + b / (1 + b.abs() / _SHIFT_BOUND)
        below, above = logsigmoid(a), logsigmoid(-a)
        log_w = torch.log_softmax(w.reshape(*shape, -1, k), dim=-1)
        log_value = torch.logsumexp(log_w + below[..., None, :], dim=-1)
        log_rest = torch.logsumexp(log_w + above[..., None, :], dim=-1)
        slope = (scale + mixed_ladj + below + above)[..., None, :]
        return log_value - log_rest, torch.logsumexp(log_w + slope, dim=-1) - log_value - log_rest

    def extra_repr(self) -> str:
        return f"layers={self.layers}, width={self.width}"
