"""Variational autoencoder with a head per support, for vectors, tables and pictures."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.distributions.bounds import bound_of_draws
from headwater.distributions.heads import Heads, gaussian_log_prob, gaussian_sample, smooth_clamp
from headwater.errors import UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import (
    Batch,
    Density,
    GenerativeModel,
    Latent,
    Losses,
    ModelConfig,
    Options,
    Paper,
    Player,
)
from headwater.models.vaes.bounds import free_bits
from headwater.models.vaes.coders import Decoder, Encoder, convolves
from headwater.models.vaes.priors import GaussianPrior, MixturePrior, Prior
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["VAE", "VAEConfig", "VAESampling", "VAEScoring"]

_LOG_SCALE_BOUND = 5.0  # of the posterior: beyond, gradients only explode
_SMALL = 256  # elements up to which the narrower network learns as well
_NUMBERS_AT_ONCE = 2**22  # decoder outputs held at once while scoring


class VAEConfig(ModelConfig):
    """Settings of :class:`VAE`."""

    latent: int | None = Field(None, ge=1, le=4096, description="length of the code; None: chosen by the event")
    network: Literal["auto", "mlp", "conv"] = Field(
        "auto", description="auto: conv for pictures of more than 1024 numbers"
    )
    width: int | None = Field(None, ge=1, description="hidden width (mlp) or channels (conv); None: chosen")
    blocks: int = Field(1, ge=0, description="residual blocks (conv: per resolution)")
    real: Literal["gaussian", "mixture"] = Field("mixture", description="head of continuous elements")
    integer: Literal["auto", "logistic", "categorical"] = Field(
        "auto", description="head of whole numbers; auto: logistic for pictures and where there are more than 32 values"
    )
    mixtures: int = Field(5, ge=1, le=100, description="components of mixture heads")
    prior: Literal["normal", "mixture"] = Field("normal", description="standard normal, or a learned mixture")
    components: int = Field(64, ge=1, le=4096, description="components of the mixture prior")
    conditional_prior: bool = Field(True, description="let the context shift the prior, not the networks alone")
    free_bits: float = Field(0.0, ge=0, description="nats per code dimension that cost nothing while training")
    warmup: float = Field(0.0, ge=0, le=1, description="share of the training in which the KL weight rises to one")


class VAESampling(Options):
    """Options of :meth:`VAE.sample`."""

    temperature: float = Field(1.0, gt=0, le=10, description="spread of each element given the code")
    latent_temperature: float = Field(1.0, ge=0, le=10, description="spread of the codes")
    noise: bool = Field(True, description="false: the most typical event of each code, no draw")


class VAEScoring(Options):
    """Budget of :meth:`VAE.log_prob`."""

    draws: int = Field(64, ge=1, le=1_000_000, description="importance samples per event")


@final
class VAE(GenerativeModel, Density, Latent):
    """``p(x | c) = integral p(z | c) prod_i p(x_i | z, c) dz`` with a Gaussian ``q(z | x, c)``.

    Trained on the evidence lower bound ``E_q[log p(x | z, c)] - KL(q(z | x, c) || p(z | c))``, scored
    by the importance-weighted bound. The code ``z`` has length ``config.latent``; log-scales of ``q``
    are bounded smoothly, so that neither a collapsed nor an exploding posterior gives a non-finite number.

    References: see ``papers``.
    """

    Config = VAEConfig
    Sampling = VAESampling
    Scoring = VAEScoring
    encoding = Encoding.NATIVE
    monitor = "nelbo"
    defaults: ClassVar = {
        "optimizer": {"lr": 2e-3, "weight_decay": 0.01},
        "training": {"batch_size": 128, "ema": 0.999},
    }
    papers = (
        Paper(
            "kingma2014vae",
            "Auto-Encoding Variational Bayes",
            "Kingma & Welling",
            2014,
            "https://arxiv.org/abs/1312.6114",
        ),
        Paper(
            "burda2016iwae",
            "Importance Weighted Autoencoders",
            "Burda, Grosse & Salakhutdinov",
            2016,
            "https://arxiv.org/abs/1509.00519",
        ),
        Paper(
            "kingma2016iaf",
            "Improved Variational Inference with Inverse Autoregressive Flow",
            "Kingma et al.",
            2016,
            "https://arxiv.org/abs/1606.04934",
        ),
        Paper(
            "salimans2017pixelcnnpp",
            "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications",
            "Salimans, Karpathy, Chen & Kingma",
            2017,
            "https://arxiv.org/abs/1701.05517",
        ),
    )

    def __init__(self, config: VAEConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config: VAEConfig = config
        self.event = event
        self.context = context
        integer = "logistic" if config.integer == "auto" and event.is_image else config.integer
        self.heads = Heads(event, mixtures=config.mixtures, real=config.real, integer=integer)
        conv = convolves(self.heads, config.network)
        self.latent = config.latent or _latent(event)
        width = config.width or (32 if conv else 256 if event.size <= _SMALL else 512)
        sizes = {"width": width, "blocks": config.blocks, "condition": context.size}
        self.encoder = Encoder(self.heads, 2 * self.latent, conv=conv, **sizes)
        self.decoder = Decoder(self.heads, self.latent, conv=conv, **sizes)
        seen = context.size if config.conditional_prior else 0
        self.prior: Prior = (
            GaussianPrior(self.latent, seen)
            if config.prior == "normal"
            else MixturePrior(self.latent, seen, config.components)
        )

    def players(self) -> tuple[Player, ...]:
        return (Player("vae", tuple(self.parameters())),)

    def posterior(
        self, x: Float[Tensor, "batch *event"], context: Float[Tensor, "batch context"] | None
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Mean and bounded log-scale of ``q(z | x, c)``."""
        numbers = self.encoder(self.heads.features(self._flat(x)), self._context(context, len(x), x))
        mean, log_scale = numbers.to(x.dtype).chunk(2, dim=-1)
        return mean, smooth_clamp(log_scale, _LOG_SCALE_BOUND)

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        """``-E_q[log p(x | z, c)] + beta KL`` in nats per event, ``beta`` rising to one during the warm-up."""
        c = self._context(batch.context, len(batch.x), batch.x)
        mean, log_scale = self.posterior(batch.x, c)
        z = gaussian_sample(mean, log_scale, rng.fold("posterior"))
        reconstruction = self.heads.log_prob(self.decoder(z, c), self._flat(batch.x)).sum(dim=1).mean()
        divergence = self.prior.kl(mean, log_scale, z, c)
        kl = divergence.sum(dim=1).mean()
        floor = self.config.free_bits * self.latent / self.prior.groups
        rate = free_bits(divergence, floor) if floor > 0 else kl
        beta = (batch.progress / self.config.warmup).clamp(max=1) if self.config.warmup > 0 else 1.0
        terms = {"nelbo": kl - reconstruction, "reconstruction": reconstruction, "kl": kl}
        return Losses(beta * rate - reconstruction, terms)

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        """Codes from the prior, then a draw from the heads. Options: :class:`VAESampling`."""
        chosen = VAESampling.parse(options, where="sampling")
        like = next(self.parameters())
        c = self._context(context, n, like)
        z = self.prior.sample(n, c, rng.fold("prior"), temperature=chosen.latent_temperature)
        params = self.decoder(z, c)
        if not chosen.noise:
            return self._shaped(self.heads.mode(params))
        return self._shaped(self.heads.sample(params, rng.fold("heads"), temperature=chosen.temperature))

    @torch.no_grad()
    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        """The importance-weighted bound with ``draws`` codes per event, without gradients.

        Each event is encoded once; codes are decoded in pieces of bounded memory. Draw k of
        an event is the same whatever the batch and the number of draws.

        Raises:
            UsageError: no ``rng``.
        """
        draws = VAEScoring.parse(budget, where="scoring").draws
        if rng is None:
            raise UsageError("The likelihood bound of a VAE draws codes.", hint="Pass rng=Rng.of(seed, len(x)).")
        mean, log_scale = self.posterior(x, context)
        c, flat = self._context(context, len(x), x), self._flat(x)

        def log_weight(event: Tensor, keys: Rng) -> Tensor:
            m, s = mean[event], log_scale[event]
            noise = keys.normal("code", self.latent)
            z = m + s.exp() * noise.to(m.dtype)  # drawn in float32, so that a float64 model scores the same codes
            given = None if c is None else c[event]
            likelihood = self.heads.log_prob(self.decoder(z, given), flat[event]).sum(dim=1)
            return likelihood + self.prior.log_prob(z, given) - gaussian_log_prob(z, m, s).sum(dim=1)

        at_once = _NUMBERS_AT_ONCE // sum(self.heads.parameter_sizes)
        bound, stderr = bound_of_draws(log_weight, rng, draws, at_once=at_once)
        return Score(bound, "lower bound", stderr, {"bound": "importance-weighted", "draws": draws})

    def encode(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch latent"]:
        return self.posterior(x, context)[0]

    def decode(
        self, z: Float[Tensor, "batch latent"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        return self._shaped(self.heads.mode(self.decoder(z, self._context(context, len(z), z))))

    def reconstruct(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        """The expected event of the mean code: smooth pictures, maybe between the values of a discrete support."""
        z = self.encode(x, context=context)
        return self._shaped(self.heads.mean(self.decoder(z, self._context(context, len(x), x))))

    def _flat(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self.event.size)  # not flatten: the size must stay static when compiled

    def _shaped(self, flat: Tensor) -> Tensor:
        return flat.reshape(-1, *self.event.shape)

    def _context(self, context: Tensor | None, n: int, like: Tensor) -> Tensor | None:
        """The networks' condition: None for an unconditional model, zeros for "absent"."""
        if not self.context.size:
            return None
        return like.new_zeros(n, self.context.size) if context is None else context.to(like.dtype)


def _latent(event: EventSpec) -> int:
    """Room for every element of a small row; a picture's elements are so alike that a quarter will do."""
    return max(2, min(event.size // 4, 64)) if event.is_image else max(2, min(event.size, 32))
