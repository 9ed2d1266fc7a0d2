"""GAN with relativistic pairing and R1 and R2 penalties: two players, no normalization, no tricks."""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import Batch, GenerativeModel, Losses, ModelConfig, Options, Paper, Player
from headwater.models.gans.augment import adapted_probability, augment
from headwater.models.gans.losses import discriminator_loss, generator_loss, gradient_penalty
from headwater.networks.adversarial import Discriminator, Generator
from headwater.rng import Rng

__all__ = ["GAN", "GANConfig", "GANSampling"]


class GANConfig(ModelConfig):
    """Architecture and objective of :class:`GAN`."""

    latent: int = Field(64, ge=1, le=4096, description="length of the noise")
    width: int = Field(128, ge=4, le=8192, description="channels at the coarsest scale; dense layers are twice as wide")
    blocks: int = Field(1, ge=1, le=64, description="residual blocks per scale; dense networks have twice as many")
    gamma: float = Field(1.0, ge=0, le=1e4, description="weight of R1 and R2 at the start; falls to a tenth by cosine")
    augment: float = Field(0.8, ge=0, le=1, description="greatest probability of augmenting pictures; 0: never")
    augment_target: float = Field(0.6, ge=0, le=1, description="overfitting above which augmentation is raised")


class GANSampling(Options):
    """Options of sampling."""

    temperature: float = Field(1.0, gt=0, le=2, description="scale of the noise; below 1 trades variety for fidelity")


@final
class GAN(GenerativeModel):
    r"""Generator against discriminator, by pairs of a real and a fake event.

    .. math::
        L_D &= E[f(D(G(z)) - D(x))] + \gamma/2 \, (E\|\nabla_x D(x)\|^2 + E\|\nabla_y D(y)\|^2), \quad y = G(z) \\
        L_G &= E[f(D(x) - D(G(z)))], \quad f(t) = \log(1 + e^t)

    A GAN has no likelihood; its held-out quality is a distance between samples and data.

    References:
        | The GAN is dead; long live the GAN! A Modern GAN Baseline (Huang et al., 2024)
        | https://arxiv.org/abs/2501.05441
    """

    Config = GANConfig
    Sampling = GANSampling
    encoding = Encoding.SCALED
    compilable: ClassVar[bool] = False  # the penalties differentiate twice, which torch.compile gets wrong
    papers = (
        Paper(
            "huang2024gan",
            "The GAN is dead; long live the GAN! A Modern GAN Baseline",
            "Huang, Gokaslan, Kuleshov and Tompkin",
            2024,
            "https://arxiv.org/abs/2501.05441",
        ),
        Paper(
            "mescheder2018training",
            "Which Training Methods for GANs do actually Converge?",
            "Mescheder, Geiger and Nowozin",
            2018,
            "https://arxiv.org/abs/1801.04406",
        ),
        Paper(
            "karras2020training",
            "Training Generative Adversarial Networks with Limited Data",
            "Karras, Aittala, Hellsten, Laine, Lehtinen and Aila",
            2020,
            "https://arxiv.org/abs/2006.06676",
        ),
    )
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "optimizer": {"lr": 4e-4, "schedule": "cosine", "warmup": 50, "clip": None},
        "training": {"batch_size": 128, "ema": 0.998, "label_dropout": 0.0, "patience": None},
    }

    config: GANConfig
    probability: Float[Tensor, ""]

    def __init__(self, config: GANConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        shape = {"context": context.size, "width": config.width, "blocks": config.blocks}
        self.generator = Generator(event, latent=config.latent, **shape)
        self.discriminator = Discriminator(event, **shape)
        self.register_buffer("probability", torch.zeros(()))

    def players(self) -> tuple[Player, ...]:
        return (
            Player("discriminator", tuple(self.discriminator.parameters()), betas=(0.0, 0.99)),
            Player("generator", tuple(self.generator.parameters()), betas=(0.0, 0.99)),
        )

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        z = rng.normal("latent", self.config.latent, dtype=batch.x.dtype)
        if player == "generator":
            fake = self._seen(self.generator(z, batch.context), rng.fold("augment fake"))
            real = self._seen(batch.x, rng.fold("augment real"))
            losses = generator_loss(self.discriminator(real, batch.context), self.discriminator(fake, batch.context))
            return Losses(losses.mean(), {"generator": losses.mean()})
        with torch.no_grad():
            fake = self._seen(self.generator(z, batch.context), rng.fold("augment fake"))
            real = self._seen(batch.x, rng.fold("augment real"))
        with torch.enable_grad():
            return self._discriminate(real.requires_grad_(), fake.requires_grad_(), batch)

    def _discriminate(self, real: Tensor, fake: Tensor, batch: Batch) -> Losses:
        on_real = self.discriminator(real, batch.context)
        on_fake = self.discriminator(fake, batch.context)
        losses = discriminator_loss(on_real, on_fake)
        r1, r2 = gradient_penalty(on_real, real), gradient_penalty(on_fake, fake)
        gamma = self.config.gamma * (0.1 + 0.9 * 0.5 * (1 + torch.cos(torch.pi * batch.progress)))
        overfit = torch.sign(on_real.detach() - on_fake.detach()).mean()
        if self.training and self.event.is_image and self.config.augment:
            p = adapted_probability(
                self.probability,
                overfit.to(self.probability.dtype),
                target=self.config.augment_target,
                rate=batch.x.shape[0] / 50_000,
                most=self.config.augment,
            )
            self.probability.copy_(p)
        total = (losses + gamma / 2 * (r1 + r2)).mean()
        terms = {"discriminator": losses, "r1": r1, "r2": r2}
        return Losses(total, {name: value.mean() for name, value in terms.items()} | {"overfit": overfit})

    def _seen(self, x: Tensor, rng: Rng) -> Tensor:
        """What the discriminator sees of an event."""
        return augment(x, self.probability, rng) if self.event.is_image and self.config.augment else x

    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = GANSampling.parse(options, where="sampling")
        dtype = next(self.parameters()).dtype
        z = rng.normal("latent", self.config.latent, dtype=dtype) * chosen.temperature
        return self.generator(z, context)
