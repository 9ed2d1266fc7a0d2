"""Decoder of EVE and DeepSequence: a Bayesian network, a shared dictionary of classes, a bias and a temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.networks.bayesian import TINY, BayesianLinear, BayesianTensor
from headwater.networks.mlp import dropout
from headwater.rng import Rng

__all__ = ["BayesianDecoder"]

_GROUP = 4  # hidden units that share their scales
_SPARSE_SPREAD = 4.0
_SPARSE_SHARE = 0.001  # of the scales that are above one half, before data is seen


class BayesianDecoder(nn.Module):
    r"""Logits of ``L`` sites of ``C`` classes from a code, with Gaussian weights throughout.

    .. math:: h_0 = z, \quad h_n = a_n(W_n h_{n-1} + b_n), \quad
              \eta_{lc} = \mathrm{softplus}(t) \Big(\sum_k D_{kc} \sum_h W_{hlk} h_h\Big) + b_{lc}

    ``D`` is the "output convolution", ``t`` the temperature. With ``sparsity`` the weights ``W_{hlk}`` are scaled by
    ``sigmoid(s_{gl})``, where ``g`` is the group of four hidden units that ``h`` belongs to and ``s`` is Gaussian, as
    is its prior, of which all but a thousandth lies below zero (a smooth spike and slab).

    Deep generative models of genetic variation capture the effects of mutations (Riesselman, Ingraham & Marks,
    2018), https://doi.org/10.1038/s41592-018-0138-4.

    Args:
        features: Length of the input: code and context.
        sites, classes: ``L`` and ``C``.
        hidden: Hidden widths.
        convolution: Rows of ``D``; None: none, ``W`` gives the classes themselves.
        temperature: Whether there is a ``t``.
        sparsity: Whether there are scales ``s``; then the last hidden width is a multiple of four.
        dropout: Share of the input and of hidden units dropped in training.
        final: The last ``a_n``; the others are ReLU.
        log_variance: Of the weights at the start, less the log-variance of their prior; None for plain weights.
        rate: How much faster than other parameters log-variances move.
        scale: ``s`` of the priors ``N(0, s^2)``.
        scaled: Let the prior of weights between layers be ``N(0, s^2 / inputs)``, under which hidden units are of the
            same size whatever the widths; with ``N(0, 1)`` the prior of a wide layer expects far too much of it, and
            few data cannot pay for saying otherwise.
    """

    def __init__(
        self,
        features: int,
        sites: int,
        classes: int,
        hidden: Sequence[int],
        *,
        convolution: int | None,
        temperature: bool,
        sparsity: bool,
        dropout: float,
        final: Literal["relu", "sigmoid"],
        log_variance: float | None,
        rate: float,
        scale: float,
        scaled: bool,
    ) -> None:
        super().__init__()
        self.sites, self.classes, self.rows = sites, classes, convolution or classes
        self.dropout, self.final = dropout, final
        self.log_variance, self.rate, self.scale, self.scaled = log_variance, rate, scale, scaled
        widths = [features, *hidden]
        self.layers = nn.ModuleList(self._layer(i, o, bias=0.1) for i, o in pairwise(widths))
        self.outward = self._layer(widths[-1], sites * self.rows, bias=None)
        self.dictionary = None
        if convolution:
            bound = 1 / math.sqrt(convolution)
            self.dictionary = self._tensor(torch.empty(convolution, classes).uniform_(-bound, bound), convolution)
        self.bias = self._tensor(torch.zeros(sites, classes))
        self.temperature = self._tensor(torch.ones(1)) if temperature else None
        self.scales = None
        if sparsity:
            centre = math.sqrt(2) * _SPARSE_SPREAD * float(torch.erfinv(torch.tensor(2 * _SPARSE_SHARE - 1)))
            start = torch.zeros(widths[-1] // _GROUP, sites)
            self.scales = BayesianTensor(
                start, log_variance=log_variance, rate=rate, centre=centre, scale=_SPARSE_SPREAD
            )

    def _prior(self, inputs: int = 1) -> tuple[float, float | None]:
        """Scale of a prior, and the log-variance that the posterior starts with."""
        scale = self.scale / math.sqrt(inputs) if self.scaled else self.scale
        return scale, None if self.log_variance is None else self.log_variance + 2 * math.log(scale)

    def _layer(self, inputs: int, out: int, *, bias: float | None) -> BayesianLinear:
        scale, log_variance = self._prior(inputs)
        return BayesianLinear(inputs, out, log_variance=log_variance, rate=self.rate, scale=scale, bias=bias)

    def _tensor(self, start: Tensor, inputs: int = 1) -> BayesianTensor:
        scale, log_variance = self._prior(inputs)
        return BayesianTensor(start, log_variance=log_variance, rate=self.rate, scale=scale)

    def forward(
        self, z: Float[Tensor, "batch features"], rng: Rng, *, divergence: bool = True
    ) -> tuple[Float[Tensor, "batch sites classes"], Float[Tensor, ""]]:
        """Logits, and the divergence of all weights from their priors (zero where it is not wanted).

        Args:
            z: Code and context.
            rng: One key per row; or one for all rows, which then share the noise of the weights.
            divergence: Whether the divergence is wanted.
        """
        h, total = self._dropped(z, rng, 0), z.new_zeros(())
        for number, layer in enumerate(self.layers, 1):
            assert isinstance(layer, BayesianLinear)
            h, kl = layer(h, rng.fold(number), divergence=divergence)
            last = number == len(self.layers)
            h = torch.sigmoid(h) if last and self.final == "sigmoid" else torch.relu(h)
            h, total = self._dropped(h, rng, number), total + kl
        u, kl = self._outward(h, rng.fold("outward"), divergence=divergence)
        logits, total = self._classes(u, rng), total + kl
        tensors = [t for t in (self.dictionary, self.bias, self.temperature, self.scales) if t is not None]
        if divergence:
            for tensor in tensors:
                total = total + tensor.divergence()
        return logits, total

    def typical(self, z: Float[Tensor, "batch features"]) -> Float[Tensor, "batch sites classes"]:
        """Logits at the means of all weights, without noise."""
        h = z
        for number, layer in enumerate(self.layers, 1):
            assert isinstance(layer, BayesianLinear)
            h = layer.typical(h)
            h = torch.sigmoid(h) if number == len(self.layers) and self.final == "sigmoid" else torch.relu(h)
        weights = self.outward.mean.reshape(-1, self.sites, self.rows)
        if self.scales is not None:
            weights = weights * torch.sigmoid(self.scales.mean).repeat_interleave(_GROUP, dim=0)[:, :, None]
        u = torch.einsum("bh,hlk->blk", h, weights)
        if self.dictionary is not None:
            u = u @ self.dictionary.mean
        if self.temperature is not None:
            u = u * nn.functional.softplus(self.temperature.mean)
        return u + self.bias.mean

    def _dropped(self, h: Tensor, rng: Rng, number: int) -> Tensor:
        keep = dropout(rng if self.training else None, number, self.dropout, h.shape[1], h.dtype)
        return h if keep is None else h * keep.t()

    def _classes(self, u: Float[Tensor, "batch sites rows"], rng: Rng) -> Float[Tensor, "batch sites classes"]:
        """Dictionary, temperature and bias, drawn for each row."""
        if self.dictionary is not None:
            dictionary = self.dictionary.draw(rng, "dictionary")
            u = u @ dictionary[0] if len(dictionary) == 1 else torch.bmm(u, dictionary)
        if self.temperature is not None:
            u = u * nn.functional.softplus(self.temperature.draw(rng, "temperature"))[:, :, None]
        return u + self.bias.draw(rng, "bias")

    def _outward(self, h: Tensor, rng: Rng, *, divergence: bool) -> tuple[Tensor, Tensor]:
        if self.scales is None:
            u, kl = self.outward(h, rng, divergence=divergence)
            return u.reshape(-1, self.sites, self.rows), kl
        return self._sparse(h, rng, divergence=divergence)

    def _sparse(self, h: Tensor, rng: Rng, *, divergence: bool) -> tuple[Tensor, Tensor]:
        """The last layer with its scales, drawn for each row, between hidden units and weights: site by site."""
        assert self.scales is not None
        scales = torch.sigmoid(self.scales.draw(rng, "scales")).transpose(0, 2)  # (sites, groups, rows or 1)
        scaled = h[None] * scales.repeat_interleave(_GROUP, dim=1).transpose(1, 2)  # (sites, rows, hidden)
        weights = self.outward.mean.reshape(-1, self.sites, self.rows).transpose(0, 1)
        out = torch.bmm(scaled, weights)
        if self.outward.spread is None:
            return out.transpose(0, 1), h.new_zeros(())
        log_variance = self.outward.log_variance()
        spread = log_variance.exp().reshape(-1, self.sites, self.rows).transpose(0, 1)
        variance = torch.bmm(scaled.square(), spread)
        noise = rng.normal("weights", self.sites, self.rows).to(h.dtype).transpose(0, 1)
        u = out + torch.sqrt(variance + TINY) * noise
        return u.transpose(0, 1), self.outward.divergence() if divergence else h.new_zeros(())
