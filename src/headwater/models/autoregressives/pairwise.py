"""Each site given those before it, by fields and couplings: a Potts model's terms with an exact likelihood."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.models.base import Batch, Density, ModelConfig, Options, Paper
from headwater.models.energies.coupled import Coupled, CoupledConfig
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["Pairwise", "PairwiseConfig", "PairwiseSampling"]


class PairwiseConfig(CoupledConfig):
    """Settings of :class:`Pairwise`."""

    order: Literal["entropy", "natural"] = Field(
        "entropy", description="entropy: sites that vary least come first; natural: as they stand"
    )


class PairwiseSampling(Options):
    """Options of :meth:`Pairwise.sample`."""

    temperature: float = Field(1.0, gt=0, le=10, description="below 1: nearer to the typical; 1: the model itself")


@final
class Pairwise(Coupled, Density):
    r"""``p(x) = prod_i p(x_i | x_<i)`` over categorical sites, each factor with a Potts model's terms.

    .. math:: p(x_i = a \mid x_{<i}) \propto \exp\Big( f_i(a) + \sum_{j<i} J_{ij}(a, x_j) \Big)

    Sites come in the order of their entropy in the first events, least first, or as they stand. Trained by the
    negative log-likelihood under normal priors, see :class:`headwater.models.energies.coupled.Coupled`. A missing
    value contributes nothing: neither its own probability nor to that of others. A context adds fields. Sampling
    goes once through the order, with the inputs of later sites kept up to date.

    Raises:
        UnsupportedEventError: an element that is not categorical, binary or an integer of few values.
    """

    Config: ClassVar[type[ModelConfig]] = PairwiseConfig
    Sampling: ClassVar[type[Options]] = PairwiseSampling
    monitor: ClassVar[str | None] = "nll"
    symmetric: ClassVar[bool] = False
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "Trinquier2021",
            "Efficient generative modeling of protein sequences using simple autoregressive models",
            "Trinquier, Uguzzoni, Pagnani, Zamponi & Weigt",
            2021,
            "https://doi.org/10.1038/s41467-021-25756-4",
        ),
    )

    config: PairwiseConfig

    def initialize(self, batch: Batch, rng: Rng) -> None:
        super().initialize(batch, rng)
        if self.config.order == "entropy":
            p = self.network.expected()
            self.network.arrange(torch.argsort(torch.special.entr(p).sum(dim=1), stable=True))

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="pairwise")
        return Score(self.one_hot.log_prob(self.network(x, context), x).sum(dim=1), "exact")

    def log_ratio(
        self,
        x: Float[Tensor, "batch *event"],
        reference: Float[Tensor, "*event"],
        *,
        rng: Rng | None = None,
        draws: int = 1,
    ) -> Score:
        return Score(self.log_prob(x).value - self.log_prob(reference[None]).value, "exact")

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = PairwiseSampling.parse(options, where="pairwise")
        one_hot, network = self.one_hot, self.network
        basis, width, allowed = network.basis, network.width, one_hot.allowed
        alone = network.alone(context).expand(n, -1, -1)
        expected = network.expected() @ basis
        matrix = network.couplings.dense()
        noise = rng.gumbel("class", one_hot.sites, one_hot.classes, dtype=alone.dtype)
        inputs = alone.new_zeros(n, len(matrix))
        x = alone.new_zeros(n, one_hot.sites)
        for place, site in enumerate(network.order.tolist()):
            part = slice(place * width, (place + 1) * width)
            logits = (alone[:, site] + inputs[:, part] @ basis.T) / chosen.temperature
            drawn = (logits + noise[:, site]).masked_fill(~allowed[site], -torch.inf).argmax(dim=1)
            inputs[:, part.stop :] += (basis[drawn] - expected[site]) @ matrix[part, part.stop :]
            x[:, site] = drawn.to(x.dtype) + one_hot.low[site].to(x.dtype)
        return x.reshape(n, *self.event.shape)
