"""What models of fields and couplings between sites share: their settings, their start and their training."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.distributions.shared_fields import fit_shared_fields
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import Batch, Comparing, DataInitialized, GenerativeModel, Losses, ModelConfig, Player
from headwater.networks.one_hot import OneHot
from headwater.networks.pairwise import PairwiseLogits, patterns_per_site
from headwater.rng import Rng

__all__ = ["Coupled", "CoupledConfig"]


class CoupledConfig(ModelConfig):
    """Settings of :class:`Coupled`."""

    patterns: int | None = Field(
        None, ge=1, description="patterns of classes per site that couple; None: as many as keep memory bounded"
    )
    couplings: float | None = Field(
        None,
        gt=0,
        description="prior standard deviation of all couplings of a site together; None: half of sqrt(events / sites),"
        " at least 0.5",
    )
    fields: float = Field(1.0, gt=0, description="prior standard deviation of a field about its start")


class Coupled(GenerativeModel, Comparing, DataInitialized):
    """A factor per site, of fields and of couplings with the sites that it is given.

    Trained by the negative sum of the factors' log-probabilities under normal priors, whose weight is one over the
    number of events in effect; see :class:`headwater.networks.pairwise.PairwiseLogits` for how couplings are stored.
    Fields start from what :func:`headwater.distributions.shared_fields.fit_shared_fields` makes of the first events.

    The default strength of couplings is *not* the optimum of held-out likelihood, which lies at weaker priors (3 or
    more on three alignments of proteins): that optimum ranks the effects of substitutions worse, since it rewards
    knowing families (Weinstein et al., 2022, https://doi.org/10.1101/2022.01.29.478324). The rule was found on these
    alignments; the field's usual strength corresponds to 1.6 (Hopf et al., 2017).

    Raises:
        UnsupportedEventError: an element that is not categorical, binary or an integer of few values.
    """

    encoding: ClassVar[Encoding] = Encoding.NATIVE
    first_events: ClassVar[int] = 8192
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "training": {"steps": 400, "batch_size": 128, "ema": 0.99, "evaluate_every": 50, "precision": "reduced"},
        "optimizer": {"lr": 3e-3, "warmup": 20},
    }
    symmetric: ClassVar[bool]
    """Whether a site is given all others, or those before it."""

    config: CoupledConfig

    def __init__(self, config: CoupledConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.one_hot = OneHot(event, model=type(self).__name__.lower())
        width = patterns_per_site(self.one_hot, config.patterns)
        self.network = PairwiseLogits(self.one_hot, width, context.size, symmetric=self.symmetric)

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    @torch.no_grad()
    def initialize(self, batch: Batch, rng: Rng) -> None:
        """Set fields, patterns and the number of events in effect from a first batch in proportion to its weights.

        Of a label's fields start what its own events say beyond all of them.
        """
        one_hot, network = self.one_hot, self.network
        rows = batch.rows or float(len(batch.x))
        scale = rows / len(batch.x)
        shared = fit_shared_fields(one_hot.counts(batch.x) * scale, one_hot.allowed)
        network.begin(shared.logits, shared.patterns(network.width), rows)
        if network.given is not None and self.context.classes and batch.context is not None:
            for label, given in enumerate(network.given):
                counts = one_hot.counts(batch.x, batch.context[:, label]) * scale
                given.copy_(fit_shared_fields(counts, one_hot.allowed).logits - shared.logits)

    def strength(self) -> Float[Tensor, ""] | float:
        r"""``s_J``, the prior's standard deviation of couplings: as set, or :math:`\frac12 \sqrt{\max(1, N / L)}`.

        ``N`` are the events in effect, ``L`` the sites: the prior in full where events are few, its precision
        fading as :math:`L / N` where they are many.
        """
        if self.config.couplings is not None:
            return self.config.couplings
        return 0.5 * (self.network.rows / self.one_hot.sites).clamp(min=1.0).sqrt()

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        factors = self.one_hot.log_prob(self.network(batch.x, batch.context), batch.x)
        term, penalty = -factors.sum(dim=1).mean(), self.network.penalty(self.strength(), self.config.fields)
        assert self.monitor is not None
        return Losses(term + penalty, {self.monitor: term.detach(), "penalty": penalty.detach()})
