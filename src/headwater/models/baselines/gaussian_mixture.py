"""A mixture of Gaussians with covariances: the classical density estimate that a deep model should beat."""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import Batch, ClosedForm, Density, GenerativeModel, Losses, ModelConfig, Paper, Player
from headwater.models.baselines.classes import (
    class_frequencies,
    class_log_weights,
    draw_class,
    mix_classes,
    number_of_classes,
)
from headwater.models.baselines.held_out import Rows, choice_rows, rows_and_labels, seed_of, shuffled
from headwater.models.baselines.mixture import component_slots, covariance_kind, log_components, unwhiten
from headwater.models.baselines.mixture_fit import Fitted, Shrinkage, fit_classes, log_likelihood, shrink
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["GaussianMixture", "GaussianMixtureConfig"]

_ABSENT = -1e4
_STRENGTHS = (0.0, 0.03, 0.2, 0.5, 2.0, 8.0)
_RHOS = (0.0, 0.05, 0.2, 0.5, 1.0)


class GaussianMixtureConfig(ModelConfig):
    """Settings of :class:`GaussianMixture`."""

    components: int = Field(32, ge=1, le=1024, description="most components of each class; fewer where that is better")
    max_rows: int = Field(20_000, ge=2, description="most rows to fit to")


@final
class GaussianMixture(GenerativeModel, Density, ClosedForm):
    """``p(x | c) = sum_k w_ck N(x; mu_ck, Sigma_ck)``, a mixture per class.

    Covariances are full where they fit in 64 MiB, one for all components where only
    that does, diagonal beyond. The number of components (1, 2, 4, ...) and the shrinkage of
    the covariances towards their mean are those that score best on held-out rows.
    Without a label the density is the mixture of the classes by their frequency.

    Raises:
        UsageError: a context that is not a label.
        MissingExtraError: scikit-learn is not installed (fitting more than one component).
    """

    Config: ClassVar[type[ModelConfig]] = GaussianMixtureConfig
    encoding: ClassVar[Encoding] = Encoding.REAL  # on digits 17 nats better held-out than SCALED
    monitor: ClassVar[str | None] = "nll"
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "Dempster1977",
            "Maximum Likelihood from Incomplete Data via the EM Algorithm",
            "Dempster, Laird & Rubin",
            1977,
            "https://doi.org/10.1111/j.2517-6161.1977.tb01600.x",
        ),
        Paper(
            "Pedregosa2011",
            "Scikit-learn: Machine Learning in Python",
            "Pedregosa et al.",
            2011,
            "https://jmlr.org/papers/v12/pedregosa11a.html",
        ),
    )

    config: GaussianMixtureConfig
    log_frequency: Float[Tensor, " classes"]
    log_weight: Float[Tensor, "classes components"]
    mean: Float[Tensor, "classes components elements"]
    whiten: Float[Tensor, "slots *elements"]

    def __init__(self, config: GaussianMixtureConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        classes, size = number_of_classes(context, "gaussian-mixture"), event.size
        self.kind = covariance_kind(size, classes)
        self.slots = component_slots(self.kind, size, classes, config.components) // classes
        self.register_buffer("log_frequency", torch.full((classes,), -math.log(classes)))
        self.register_buffer("log_weight", torch.full((classes, self.slots), -math.log(self.slots)))
        self.register_buffer("mean", torch.zeros(classes, self.slots, size))
        rows = 1 if self.kind == "tied" else classes * self.slots
        one = torch.ones(size) if self.kind == "diagonal" else torch.eye(size)
        self.register_buffer("whiten", one.expand(rows, *one.shape).clone())

    def players(self) -> tuple[Player, ...]:
        return ()

    @torch.no_grad()
    def fit(self, batch: Batch, rng: Rng, held_out: Batch | None = None) -> None:
        x, context = rows_and_labels(batch, self.context)
        if context is not None:
            self.log_frequency.copy_(class_frequencies(context))
        few = shuffled(len(x), rng)[: self.config.max_rows]
        context = None if context is None else context[few]
        rows, seed = choice_rows(x[few], context, rng, held_out), seed_of(rng)
        components, how = self._choose(rows, seed)
        fitted = fit_classes(rows.classes, rows.all, self.kind, components, seed)
        factors = shrink(fitted, self.kind, how)
        self.log_weight.fill_(_ABSENT)
        self.mean.zero_()
        for c in range(self.log_weight.shape[0]):
            own = c if len(fitted) > 1 else 0
            f, whiten = fitted[own], factors[own]
            used = len(f.rows)
            self.log_weight[c, :used] = torch.log(f.rows / f.rows.sum()).to(self.log_weight.dtype)
            self.mean[c, :used] = f.mean.to(self.mean.dtype)
            first = 0 if self.kind == "tied" else c * self.slots
            self.whiten[first : first + len(whiten)] = whiten.to(self.whiten.dtype)

    def _choose(self, rows: Rows, seed: int) -> tuple[int, Shrinkage]:
        """The number of components and the shrinkage that score best; more components while that helps."""
        trials: list[tuple[float, int, Shrinkage]] = []
        most = min(self.slots, max(1, len(rows.trial) // (2 * len(rows.trial_classes))))
        for components in [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if k <= most]:
            fitted = fit_classes(rows.trial_classes, rows.trial, self.kind, components, seed)
            score, how = self._shrinkage(fitted, rows.judge_classes)
            trials.append((score, components, how))
            best = max(trials)
            if components >= 4 * best[1]:  # twice as many did not help, twice
                break
        return best[1], best[2]

    def _shrinkage(self, fitted: list[Fitted], judge: list[Tensor]) -> tuple[float, Shrinkage]:
        """The best score and its shrinkage: first how strong, then towards what."""

        def score(how: Shrinkage) -> tuple[float, Shrinkage]:
            return log_likelihood(fitted, shrink(fitted, self.kind, how), judge), how

        _, strongest = max(score(Shrinkage(strength, 0.2)) for strength in _STRENGTHS)
        return max(score(Shrinkage(strongest.strength, rho)) for rho in _RHOS)

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="gaussian-mixture")
        classes = self.log_weight.shape[0]
        each = log_components(x.flatten(1), self.mean.flatten(0, 1), self.whiten)
        log_density = torch.logsumexp(each.reshape(len(x), classes, self.slots) + self.log_weight, dim=2)
        weights = class_log_weights(context if self.context.size else None, self.log_frequency, x.shape[0])
        return Score(mix_classes(weights, log_density), "exact")

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self.log_prob(batch.x, context=batch.context).value.mean()
        return Losses(nll, {"nll": nll.detach()})

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        self.Sampling.parse(options, where="gaussian-mixture")
        weights = class_log_weights(context if self.context.size else None, self.log_frequency, n)
        label = draw_class(weights, rng)
        slot = label * self.slots + rng.categorical("component", self.log_weight[label])
        noise = rng.normal("noise", self.event.size, dtype=self.mean.dtype)
        x = self.mean.flatten(0, 1)[slot] + unwhiten(noise, slot, self.whiten)
        return x.reshape(n, *self.event.shape)

    def extra_repr(self) -> str:
        return f"{self.event}, {self.log_weight.shape[0]} x {self.slots} components, {self.kind} covariances"
