"""Each site given those before it, by fields and couplings: a Potts model's terms with an exact likelihood."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    Comparing,
    DataInitialized,
    Density,
    GenerativeModel,
    Losses,
    ModelConfig,
    Options,
    Paper,
    Player,
)
from headwater.models.energies.start import start_from_counts
from headwater.networks.one_hot import OneHot
from headwater.networks.pairwise import PairwiseLogits, patterns_per_site
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["Pairwise", "PairwiseConfig", "PairwiseSampling"]


class PairwiseConfig(ModelConfig):
    """Settings of :class:`Pairwise`."""

    patterns: int | None = Field(
        None, ge=1, description="patterns of classes per site that couple; None: as many as keep memory bounded"
    )
    couplings: float = Field(0.5, gt=0, description="prior standard deviation of all couplings of a site together")
    fields: float = Field(1.0, gt=0, description="prior standard deviation of a field about its start")
    order: Literal["entropy", "natural"] = Field(
        "entropy", description="entropy: sites that vary least come first; natural: as they stand"
    )


class PairwiseSampling(Options):
    """Options of :meth:`Pairwise.sample`."""

    temperature: float = Field(1.0, gt=0, le=10, description="below 1: nearer to the typical; 1: the model itself")


@final
class Pairwise(GenerativeModel, Density, Comparing, DataInitialized):
    r"""``p(x) = prod_i p(x_i | x_<i)`` over categorical sites, each factor with a Potts model's terms.

    .. math:: p(x_i = a \mid x_{<i}) \propto \exp\Big( f_i(a) + \sum_{j<i} J_{ij}(a, x_j) \Big)

    Sites come in the order of their entropy in the first events, least first, or as they stand. Trained by the
    negative log-likelihood under normal priors, whose weight is one over the number of events in effect. Fields start
    from what :func:`headwater.distributions.shared_fields.fit_shared_fields` makes of the first events. A missing
    value contributes nothing: neither its own probability nor to that of others. A context adds fields. Sampling
    goes once through the order, with the inputs of later sites kept up to date.

    Raises:
        UnsupportedEventError: an element that is not categorical, binary or an integer of few values.
    """

    Config: ClassVar[type[ModelConfig]] = PairwiseConfig
    Sampling: ClassVar[type[Options]] = PairwiseSampling
    encoding: ClassVar[Encoding] = Encoding.NATIVE
    monitor: ClassVar[str | None] = "nll"
    first_events: ClassVar[int] = 8192
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "Trinquier2021",
            "Efficient generative modeling of protein sequences using simple autoregressive models",
            "Trinquier, Uguzzoni, Pagnani, Zamponi & Weigt",
            2021,
            "https://doi.org/10.1038/s41467-021-25756-4",
        ),
    )
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "training": {"steps": 400, "batch_size": 128, "ema": 0.99, "evaluate_every": 50, "precision": "reduced"},
        "optimizer": {"lr": 3e-3, "warmup": 20},
    }

    config: PairwiseConfig

    def __init__(self, config: PairwiseConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.one_hot = OneHot(event, model="pairwise")
        width = patterns_per_site(self.one_hot, config.patterns)
        self.network = PairwiseLogits(self.one_hot, width, context.size, symmetric=False)

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def initialize(self, batch: Batch, rng: Rng) -> None:
        start_from_counts(self.network, batch, self.context)
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

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self.one_hot.log_prob(self.network(batch.x, batch.context), batch.x).sum(dim=1).mean()
        penalty = self.network.penalty(self.config.couplings, self.config.fields)
        return Losses(nll + penalty, {"nll": nll.detach(), "penalty": penalty.detach()})

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
