"""Categorical sites on their own: counting, and what each site learns from all the others."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.distributions.shared_fields import fit_shared_fields
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    ClosedForm,
    Comparing,
    Density,
    GenerativeModel,
    Losses,
    ModelConfig,
    Paper,
    Player,
)
from headwater.models.baselines.classes import (
    class_frequencies,
    class_log_weights,
    draw_class,
    mix_classes,
    number_of_classes,
)
from headwater.networks.one_hot import OneHot
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["Sites", "SitesConfig"]


class SitesConfig(ModelConfig):
    """Settings of :class:`Sites`."""

    prior: Literal["shared", "counting"] = Field(
        "shared", description="shared: sites seen seldom borrow from the pattern of all; counting: a pseudo-count"
    )
    pseudocount: float = Field(0.5, gt=0, description="added to the count of every class (counting)")


@final
class Sites(GenerativeModel, Density, Comparing, ClosedForm):
    r"""``p(x | c) = prod_i p_i(x_i | c)`` over categorical sites; a missing value counts for nothing.

    .. math:: p_i(a) = \frac{n_{ia} + \lambda}{\sum_b (n_{ib} + \lambda)} \text{ (counting)}, \qquad
              f_i \sim N(\mu, \Sigma), \; p_i = \mathrm{softmax} f_i \text{ (shared)}

    ``n_ia`` are counts, weighted where the data is. For ``shared`` the mean and the covariance over classes are
    learned from all sites (:func:`headwater.distributions.shared_fields.fit_shared_fields`), so that a site with few
    observations follows the pattern of substitutions of the others. With labels each class has sites of its own;
    without a label the density is the mixture of the classes by their frequency.

    Raises:
        UnsupportedEventError: an element that is not categorical, binary or an integer of few values.
        UsageError: a context that is not a label.
    """

    Config: ClassVar[type[ModelConfig]] = SitesConfig
    encoding: ClassVar[Encoding] = Encoding.NATIVE
    monitor: ClassVar[str | None] = "nll"
    weighted: ClassVar[bool] = True
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "Hopf2017",
            "Mutation effects predicted from sequence co-variation (the site-independent baseline)",
            "Hopf, Ingraham, Poelwijk, Schärfe, Springer, Sander & Marks",
            2017,
            "https://doi.org/10.1038/nbt.3769",
        ),
        Paper(
            "Morris1983",
            "Parametric Empirical Bayes Inference: Theory and Applications",
            "Morris",
            1983,
            "https://doi.org/10.1080/01621459.1983.10477920",
        ),
    )

    config: SitesConfig
    logits: Float[Tensor, "labels sites classes"]
    log_frequency: Float[Tensor, " labels"]

    def __init__(self, config: SitesConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        labels = number_of_classes(context, "sites")
        self.one_hot = OneHot(event, model="sites")
        self.register_buffer("logits", torch.zeros(labels, self.one_hot.sites, self.one_hot.classes))
        self.register_buffer("log_frequency", torch.full((labels,), 1.0 / labels).log())

    def players(self) -> tuple[Player, ...]:
        return ()

    @torch.no_grad()
    def fit(self, batch: Batch, rng: Rng, held_out: Batch | None = None) -> None:
        weight = batch.x.new_ones(len(batch.x)) if batch.weight is None else batch.weight
        counts = self.one_hot.counts(batch.x, weight)[None]
        if self.context.size and batch.context is not None:
            labels = batch.context.to(weight.dtype)
            self.log_frequency.copy_(class_frequencies(labels * weight[:, None]))
            counts = torch.stack([self.one_hot.counts(batch.x, weight * labels[:, c]) for c in range(labels.shape[1])])
        if self.config.prior == "counting":
            logits = torch.log(counts + self.config.pseudocount)
        else:
            allowed = self.one_hot.allowed.repeat(len(counts), 1)
            logits = fit_shared_fields(counts.flatten(0, 1), allowed).logits.reshape(counts.shape)
        self.logits.copy_(logits.expand_as(self.logits))

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="sites")
        log_p = torch.log_softmax(self.one_hot.masked(self.logits), dim=2).masked_fill(~self.one_hot.allowed, 0.0)
        log_density = self.one_hot.features(x).flatten(1) @ log_p.flatten(1).T
        weights = class_log_weights(context if self.context.size else None, self.log_frequency, x.shape[0])
        return Score(mix_classes(weights, log_density), "exact")

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
        nll = -self.log_prob(batch.x, context=batch.context).value.mean()
        return Losses(nll, {"nll": nll.detach()})

    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        self.Sampling.parse(options, where="sites")
        weights = class_log_weights(context if self.context.size else None, self.log_frequency, n)
        logits = self.logits[draw_class(weights, rng)]
        return self.one_hot.sample(logits, rng).reshape(n, *self.event.shape)
