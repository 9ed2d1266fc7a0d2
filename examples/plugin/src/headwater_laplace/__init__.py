"""A plug-in: ``p(x | c) = prod_d Laplace(x_d; mu_d + (V c)_d, s_d)``. Lives in its own package, obeys every law."""

from typing import Any, final

import torch
from pydantic import Field
from torch import Tensor, nn

from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import Batch, Density, GenerativeModel, Losses, ModelConfig, Options, Player
from headwater.rng import Rng
from headwater.scores import Score


class LaplaceConfig(ModelConfig):
    """Settings of :class:`Laplace`."""

    smallest: float = Field(1e-4, gt=0, description="least scale")


class LaplaceSampling(Options):
    """Options of sampling."""

    temperature: float = Field(1.0, gt=0, description="factor on every scale")


@final
class Laplace(GenerativeModel, Density):
    """Independent Laplace distributions; exact likelihood."""

    Config, Sampling, encoding, monitor = LaplaceConfig, LaplaceSampling, Encoding.REAL, "nll"

    def __init__(self, config: LaplaceConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.mean = nn.Parameter(torch.zeros(event.size))
        self.log_scale = nn.Parameter(torch.zeros(event.size))
        self.shift = nn.Linear(context.size, event.size, bias=False) if context.size else None

    def players(self) -> tuple[Player, ...]:
        return (Player("laplace", tuple(self.parameters())),)

    def _place(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        mean = self.mean if self.shift is None or context is None else self.mean + self.shift(context)
        return mean, self.log_scale.exp() + self.config.smallest

    def log_prob(self, x: Tensor, *, context: Tensor | None = None, rng: Rng | None = None, **budget: Any) -> Score:
        mean, scale = self._place(context)
        return Score((-(x.flatten(1) - mean).abs() / scale - (2 * scale).log()).sum(1), "exact")

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self.log_prob(batch.x, context=batch.context).value.mean()
        return Losses(nll, {"nll": nll})

    def sample(self, n: int, *, context: Tensor | None = None, rng: Rng, **options: Any) -> Tensor:
        mean, scale = self._place(context)
        u = rng.uniform("laplace", self.event.size, dtype=self.mean.dtype) - 0.5
        x = mean - scale * LaplaceSampling.parse(options).temperature * u.sign() * torch.log1p(-2 * u.abs())
        return x.reshape(n, *self.event.shape)
