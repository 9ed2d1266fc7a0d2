"""Variational autoencoder with a Bayesian decoder over categorical sites: the model of EVE and DeepSequence."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.bounds import bound_of_draws
from headwater.distributions.heads import gaussian_log_prob
from headwater.distributions.shared_fields import fit_shared_fields
from headwater.errors import UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    Comparing,
    DataInitialized,
    Density,
    GenerativeModel,
    Latent,
    Losses,
    Player,
)
from headwater.models.vaes.bayesian_decoder import BayesianDecoder
from headwater.models.vaes.bayesian_options import PAPERS, BayesianSampling, BayesianScoring, BayesianVAEConfig
from headwater.models.vaes.paired import RunningMean
from headwater.networks.one_hot import OneHot
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["BayesianVAE"]

_NUMBERS_AT_ONCE = 2**22  # decoder outputs held at once while scoring
_LOG_VARIANCE = -10.0  # of the codes, at the start
_BIAS = 0.1


@final
class BayesianVAE(GenerativeModel, Density, Comparing, Latent, DataInitialized):
    r"""``p(x) = integral p(z) q(W) prod_i Categorical(x_i; softmax f_W(z)_i) dz dW``, ``z ~ N(0, I)``.

    Trained on the evidence lower bound with the weights' share of each of the ``N`` training events
    (``N`` counts them by their weights: the effective number of sequences of an alignment),

    .. math:: E_{q(z|x) q(W)}[\log p(x \mid z, W)] - \mathrm{KL}(q(z|x) \| N(0, I)) - \mathrm{KL}(q(W) \| p(W)) / N.

    What is missing from an event (a gap) contributes nothing. Biases of the last layer start at the sites' own
    logits, so that the network only has to learn what sites know of each other. The monitored ``nelbo`` is the bound
    of an event under ``q(W)``, without the weights' share, so that held-out events judge by it.

    Raises:
        UnsupportedEventError: an element that is not discrete.

    References: see ``papers``.
    """

    Config = BayesianVAEConfig
    Sampling = BayesianSampling
    Scoring = BayesianScoring
    encoding = Encoding.NATIVE
    monitor = "nelbo"
    papers = PAPERS
    first_events = 16_384
    defaults: ClassVar = {
        "optimizer": {"lr": 1e-3, "clip": None},
        "training": {"batch_size": 128, "steps": 3000, "precision": "reduced", "ema": 0.99},
    }

    config: BayesianVAEConfig
    rows: Float[Tensor, ""]

    def __init__(self, config: BayesianVAEConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.one_hot = OneHot(event, model="bayesian-vae")
        sites, classes = self.one_hot.sites, self.one_hot.classes
        widths = [sites * classes + context.size, *config.encoder, 2 * config.latent]
        layers = [nn.Linear(i, o) for i, o in pairwise(widths)]
        for layer in layers:
            nn.init.constant_(layer.bias, _BIAS)
        nn.init.constant_(layers[-1].bias[config.latent :], _LOG_VARIANCE)
        self.encoder = nn.ModuleList(layers)
        self.decoder = BayesianDecoder(
            config.latent + context.size,
            sites,
            classes,
            config.decoder,
            convolution=config.convolution,
            temperature=config.temperature,
            sparsity=config.sparsity,
            dropout=config.dropout,
            final=config.final,
            log_variance=config.log_variance if config.bayesian else None,
            rate=config.variance_rate,
            scale=config.prior_scale,
            scaled=config.prior == "scaled",
        )
        self.given = nn.Parameter(torch.zeros(context.size, sites, classes)) if context.size else None
        self.register_buffer("rows", torch.ones(()))

    def players(self) -> tuple[Player, ...]:
        return (Player("vae", tuple(self.parameters())),)

    @torch.no_grad()
    def initialize(self, batch: Batch, rng: Rng) -> None:
        """Note how many events there are in effect, and start the biases at the sites' logits."""
        features = self.one_hot.features(batch.x)
        rows = batch.rows or float(len(batch.x))
        counts = features.double().sum(dim=0) * (rows / len(batch.x))
        logits = fit_shared_fields(counts, self.one_hot.allowed).logits
        self.rows.fill_(rows)
        self.decoder.bias.centre_at(logits.to(self.rows.dtype))

    def posterior(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Mean and log-scale of ``q(z | x, c)``."""
        h = self._given(self.one_hot.features(x).flatten(1), context)
        for layer in self.encoder[:-1]:
            h = torch.relu(layer(h))
        mean, log_variance = self.encoder[-1](h).to(x.dtype).chunk(2, dim=1)
        return mean, log_variance / 2

    def log_likelihood(
        self, logits: Float[Tensor, "batch sites classes"], x: Float[Tensor, "batch *event"]
    ) -> Float[Tensor, " batch"]:
        """``sum_i log p(x_i)``; or, with EVE's likelihood, minus its binary cross-entropy of the log-probabilities.

        That takes ``log p_ic`` for the logit of a yes or no per site and class, so that a class counts
        ``log(1 + p_ic)`` whether it is there or not, also where the value is missing.
        """
        known = self.one_hot.log_prob(logits, x).sum(dim=1)
        if self.config.likelihood == "categorical":
            return known
        p = torch.softmax(self.one_hot.masked(logits), dim=2)
        return known - torch.log1p(p).sum(dim=(1, 2))

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        """The negative bound in nats per event, the weights' divergence shared among all training events."""
        mean, log_scale = self.posterior(batch.x, batch.context)
        z = mean + log_scale.exp() * rng.normal("code", self.config.latent).to(mean.dtype)
        logits, weights = self._logits(z, batch.context, rng.fold("decoder"))
        reconstruction = -self.log_likelihood(logits.to(batch.x.dtype), batch.x).mean()
        kl = _standard_kl(mean, log_scale).mean()
        share = weights / self.rows
        terms = {"nelbo": reconstruction + kl, "reconstruction": reconstruction, "kl": kl, "kl_weights": share}
        rising = (batch.progress / self.config.warmup).clamp(max=1) if self.config.warmup > 0 else 1.0
        return Losses(reconstruction + self.config.kl_latent * kl + self.kl_weight() * rising * share, terms)

    def kl_weight(self) -> Float[Tensor, ""] | float:
        r"""The factor on the divergence of weights: as set, or :math:`\min(1, (L / N)^2)`, ``N`` the events in effect.

        Where events are few the prior holds in full: without it the model remembers families. Where they are many,
        Gaussian posteriors that are independent from weight to weight underfit, and colder ones predict better:
        How Good is the Bayes Posterior in Deep Neural Networks Really? (Wenzel et al., 2020),
        https://arxiv.org/abs/2002.02405. The rule was found on the alignments of three proteins.
        """
        if self.config.kl_weight is not None:
            return self.config.kl_weight
        return (self.one_hot.sites / self.rows).square().clamp(max=1.0)

    @torch.no_grad()
    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        """The importance-weighted bound with ``draws`` of code and weights per event, without gradients.

        Raises:
            UsageError: no ``rng``.
        """
        draws = BayesianScoring.parse(budget, where="scoring").draws
        if rng is None:
            raise UsageError("The bound draws codes and weights.", hint="Pass rng=Rng.of(seed, len(x)).")
        mean, log_scale = self.posterior(x, context)

        def log_weight(event: Tensor, keys: Rng) -> Tensor:
            m, s = mean[event], log_scale[event]
            z = m + s.exp() * keys.normal("code", self.config.latent).to(m.dtype)
            given = None if context is None else context[event]
            logits, _ = self._logits(z, given, keys.fold("decoder"), divergence=False)
            prior = gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z)).sum(dim=1)
            known = self.one_hot.log_prob(logits, x[event]).sum(dim=1)
            return known + prior - gaussian_log_prob(z, m, s).sum(dim=1)

        bound, stderr = bound_of_draws(log_weight, rng, draws, at_once=self._rows_at_once)
        return Score(bound, "lower bound", stderr, {"bound": "importance-weighted", "draws": draws})

    @torch.no_grad()
    def log_ratio(
        self,
        x: Float[Tensor, "batch *event"],
        reference: Float[Tensor, "*event"],
        *,
        rng: Rng | None = None,
        draws: int = 1,
    ) -> Score:
        """The difference of the two evidence lower bounds, over draws of code and weights that both share.

        Draw k takes the same noise for every event, so that most of it cancels; each event's own bound keeps its law.
        Means and variances are running: memory does not grow with ``draws``.

        Raises:
            UsageError: no ``rng``, one of several keys, or no draws.
        """
        if rng is None or rng.n != 1 or draws < 1:
            raise UsageError(
                "The ratio is estimated from one or more draws that all events share.",
                hint="Pass rng=Rng.of(seed, 1) and draws=200.",
            )
        found = [self._ratio(part, reference, rng, draws) for part in torch.split(x, max(1, self._rows_at_once - 1))]
        value, stderr = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Score(value, "estimate", stderr, {"bound": "evidence, paired", "draws": draws})

    def _ratio(self, x: Tensor, reference: Tensor, rng: Rng, draws: int) -> tuple[Tensor, Tensor]:
        """Of a piece of events that is decoded at once, behind the reference."""
        both = torch.cat([reference[None].to(x.dtype), x])
        mean, log_scale = self.posterior(both, None)
        kl, running = _standard_kl(mean, log_scale), RunningMean(x.new_zeros(len(x), dtype=torch.float64))
        for k in range(draws):
            keys = rng.fold(k)
            z = mean + log_scale.exp() * keys.normal("code", self.config.latent).to(mean.dtype)
            logits, _ = self._logits(z, None, keys.fold("decoder"), divergence=False)
            bound = self.one_hot.log_prob(logits, both).sum(dim=1) - kl
            running.add((bound[1:] - bound[0]).double())
        return running.mean.to(x.dtype), running.stderr.to(x.dtype)

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        """Codes from the prior, weights of each event's own, then categories. Options: :class:`BayesianSampling`."""
        chosen = BayesianSampling.parse(options, where="sampling")
        z = chosen.latent_temperature * rng.normal("code", self.config.latent).to(self.rows.dtype)
        logits, _ = self._logits(z, context, rng.fold("decoder"), divergence=False)
        drawn = self.one_hot.sample(logits / chosen.temperature, rng.fold("classes"))
        return drawn.reshape(n, *self.event.shape)

    def encode(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch latent"]:
        return self.posterior(x, context)[0]

    def decode(
        self, z: Float[Tensor, "batch latent"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        logits = self._with_label(self.decoder.typical(self._given(z, context)), context)
        codes = self.one_hot.masked(logits).argmax(dim=2).to(z.dtype) + self.one_hot.low.to(z.dtype)
        return codes.reshape(-1, *self.event.shape)

    def _logits(
        self, z: Tensor, context: Tensor | None, rng: Rng, *, divergence: bool = True
    ) -> tuple[Float[Tensor, "batch sites classes"], Float[Tensor, ""]]:
        logits, weights = self.decoder(self._given(z, context), rng, divergence=divergence)
        return self._with_label(logits, context), weights

    def _with_label(self, logits: Tensor, context: Tensor | None) -> Tensor:
        """A context shifts the logits of every site directly, besides what the networks make of it."""
        if self.given is None or context is None:
            return logits
        return logits + torch.einsum("bk,klc->blc", context.to(logits.dtype), self.given)

    @property
    def _rows_at_once(self) -> int:
        return max(2, _NUMBERS_AT_ONCE // (self.one_hot.sites * self.decoder.rows))

    def _given(self, h: Tensor, context: Tensor | None) -> Tensor:
        """With the context appended; zeros where a conditional model is given none."""
        if not self.context.size:
            return h
        given = h.new_zeros(len(h), self.context.size) if context is None else context.to(h.dtype)
        return torch.cat([h, given], dim=1)


def _standard_kl(
    mean: Float[Tensor, "batch latent"], log_scale: Float[Tensor, "batch latent"]
) -> Float[Tensor, " batch"]:
    """``KL(N(m, s^2) || N(0, I))`` per event."""
    return 0.5 * (mean.square() + torch.exp(2 * log_scale) - 1 - 2 * log_scale).sum(dim=1)
