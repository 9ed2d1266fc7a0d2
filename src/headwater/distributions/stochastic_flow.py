"""Flows with chance between their layers, and the weights that make up for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.bijections.bijection import Bijection
from headwater.distributions.annealing import bridge
from headwater.distributions.base import Base
from headwater.distributions.importance import ImportanceWeights
from headwater.distributions.transitions import Hamiltonian, LogDensity, Transition
from headwater.errors import UsageError
from headwater.rng import Rng

__all__ = ["MarkovLayer", "StochasticFlow"]


@dataclass(frozen=True)
class MarkovLayer:
    """Transitions that leave ``base^(1-β) target^β`` as it is.

    Args:
        beta: ``β`` in [0, 1]: how much of the target.
        step: Step length.
        moves: Transitions one after another.
        transition: Their kind.
    """

    beta: float
    step: float = 0.2
    moves: int = 1
    transition: Transition = field(default_factory=Hamiltonian)

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 1 or self.step <= 0 or self.moves < 1:
            raise UsageError(f"Expected beta in [0, 1], step > 0 and moves >= 1, got {self}.")


class StochasticFlow(nn.Module):
    r"""Samples of a base carried towards a target by bijections and Markov layers in turn, with path weights.

    .. math:: \log w = \log p(x_T) - \log q(x_0) + \sum_t ΔS_t,

    where a bijection gives :math:`ΔS = \log|\det dx_t/dx_{t-1}|` and a Markov layer that leaves ``μ`` as it is gives
    :math:`ΔS = \log μ(x_{t-1}) - \log μ(x_t)`. The mean of ``w`` is an unbiased estimate of ``∫p`` for any parameters,
    and weighted samples follow ``p``. A density of ``x_T`` itself there is not.

    Stochastic Normalizing Flows (Wu, Koehler & Noe, 2020), https://arxiv.org/abs/2002.06707.

    Args:
        base: ``q``.
        layers: From base to target; of a bijection the ``inverse`` (noise to data) is taken.
        log_density: ``log p``, up to a constant.

    Raises:
        UsageError: there is no layer.
    """

    def __init__(self, base: Base, layers: Sequence[Bijection | MarkovLayer], log_density: LogDensity) -> None:
        super().__init__()
        if not layers:
            raise UsageError("Expected bijections and Markov layers, got none.")
        self.base = base
        self.bijections = nn.ModuleList(layer for layer in layers if isinstance(layer, Bijection))
        self.layers, self.log_density = tuple(layers), log_density

    def forward(
        self, rng: Rng, *, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "n features"], Float[Tensor, " n"]]:
        """Samples and their log-weights, one per key, differentiable in the bijections' parameters.

        Decisions to accept are held fixed under the gradient, which is therefore approximate where there are Markov
        layers; the weights are right for whatever parameters it leads to.
        """
        x = self.base.sample(rng, dtype=dtype)
        log_w = -self.base.log_prob(x)
        for number, layer in enumerate(self.layers):
            if isinstance(layer, MarkovLayer):
                x, change = self._markov(layer, x, rng.fold(number))
            else:
                x, change = layer.inverse(x)
            log_w = log_w + change
        return x, log_w + self.log_density(x)

    def _markov(self, layer: MarkovLayer, x: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        log_mu = bridge(self.base.log_prob, self.log_density, layer.beta)
        before = log_mu(x)
        for move in range(layer.moves):
            x = layer.transition(log_mu, x, rng.fold(move), step=layer.step).x
        return x, before - log_mu(x)

    @torch.no_grad()
    def weigh(self, n: int, *, seed: int = 0, dtype: torch.dtype = torch.float32) -> ImportanceWeights:
        """``n`` samples with their weights."""
        return ImportanceWeights(*self(Rng.of(seed, n).fold("weigh"), dtype=dtype))
