"""Masked autoregressive network for vectors and tables: exact likelihood, each element given those before it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from headwater.distributions.heads import Heads
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.autoregressives.order import element_order
from headwater.models.base import Batch, Density, GenerativeModel, Losses, ModelConfig, Options, Paper, Player
from headwater.networks.masked import MaskedMLP
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["MADE", "MADEConfig", "MADESampling"]

_FEW = 16


class MADEConfig(ModelConfig):
    """Settings of :class:`MADE`."""

    width: int = Field(256, ge=1, description="hidden units per layer")
    blocks: int = Field(2, ge=0, description="residual blocks of two masked layers")
    mixtures: int | None = Field(
        None,
        ge=1,
        description="components of each mixture (reals, integers of many values); None: 32, of many elements 10",
    )
    integer: Literal["auto", "logistic", "categorical"] = Field(
        "auto", description="integers: probability per value, or mixture of logistics; auto: by their number of values"
    )
    order: Literal["natural", "reversed", "random"] = Field("natural", description="the order elements are modelled in")
    order_seed: int = Field(0, ge=0, description="which random order")
    activation: Literal["relu", "silu", "gelu", "elu"] = Field("relu", description="between the layers")


class MADESampling(Options):
    """Options of :meth:`MADE.sample`."""

    temperature: float = Field(1.0, gt=0, le=10, description="below 1: nearer to the typical; 1: the model itself")
    cache: bool = Field(True, description="compute every hidden unit once; off: a whole pass per element (slow, same)")


@final
class MADE(GenerativeModel, Density):
    """``p(x | c) = prod_i p(x_i | x_<i, c)``, all factors from one pass of a masked residual network.

    Hidden unit ``h`` of degree ``m(h)`` sees the elements ``1 .. m(h)`` of the order
    only, so the numbers of element ``i`` depend on the elements before it. Each factor
    is what :class:`headwater.distributions.heads.Heads` offers for the support: Gaussian
    mixture, mixture of discretized logistics, categorical or Bernoulli.

    Sampling goes once through the order; with ``cache`` every hidden unit is computed
    once, when the elements it sees are there: the work of half a pass, not of ``D`` passes.

    Raises:
        UsageError: an element of a support that has no head.

    >>> from headwater.rng import Rng
    >>> model = MADE(MADEConfig(width=8), EventSpec.real(3), ContextSpec())
    >>> model.sample(4, rng=Rng.of(0, 4)).shape
    torch.Size([4, 3])
    """

    Config: ClassVar[type[ModelConfig]] = MADEConfig
    Sampling: ClassVar[type[Options]] = MADESampling
    encoding: ClassVar[Encoding] = Encoding.NATIVE
    monitor: ClassVar[str | None] = "nll"
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "Germain2015",
            "MADE: Masked Autoencoder for Distribution Estimation",
            "Germain, Gregor, Murray & Larochelle",
            2015,
            "https://arxiv.org/abs/1502.03509",
        ),
        Paper(
            "Nash2019",
            "Autoregressive Energy Machines (ResMADE, the residual form)",
            "Nash & Durkan",
            2019,
            "https://arxiv.org/abs/1904.05626",
        ),
        Paper(
            "Uria2013",
            "RNADE: The Real-valued Neural Autoregressive Density-estimator (mixtures per element)",
            "Uria, Murray & Larochelle",
            2013,
            "https://arxiv.org/abs/1306.0186",
        ),
    )
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "training": {"batch_size": 512, "ema": 0.995},
        "optimizer": {"lr": 3e-3, "weight_decay": 1e-3},
    }

    config: MADEConfig

    def __init__(self, config: MADEConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        mixtures = config.mixtures or (32 if event.size <= _FEW else 10)
        self.heads = Heads(event, mixtures=mixtures, real="mixture", integer=config.integer)
        self.network = MaskedMLP(
            event.size,
            self.heads.parameter_sizes,
            width=config.width,
            blocks=config.blocks,
            condition=context.size,
            inputs_per_feature=self.heads.feature_sizes,
            order=element_order(event.size, config.order, config.order_seed),
            activation=config.activation,
        )

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def log_prob_elements(
        self, x: Float[Tensor, "batch elements"], context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch elements"]:
        """``log p(x_i | x_<i, c)`` of each element of flattened events, in nats."""
        params = self.network(self.heads.features(x), self._condition(context, x))
        return self.heads.log_prob(params, x)

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="made")
        return Score(self.log_prob_elements(x.flatten(1), context).sum(dim=1), "exact")

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self.log_prob_elements(batch.x.flatten(1), batch.context).sum(dim=1).mean()
        return Losses(nll, {"nll": nll.detach()})

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = MADESampling.parse(options, where="made")
        x = next(self.parameters()).new_zeros(n, self.event.size)
        condition = self._condition(context, x)
        if chosen.cache:
            self._sweep(x, condition, rng, chosen.temperature)
        else:
            self._passes(x, condition, rng, chosen.temperature)
        return x.reshape(n, *self.event.shape)

    def _sweep(self, x: Tensor, condition: Tensor | None, rng: Rng, temperature: float) -> None:
        """Fill ``x`` element by element, each hidden unit computed once."""

        def choose(element: int, params: Tensor) -> Tensor:
            x[:, element] = self.heads.sample_element(element, params, rng, temperature=temperature)
            return self.heads.features_element(element, x[:, element])

        self.network.sweep(len(x), choose, condition)

    def _passes(self, x: Tensor, condition: Tensor | None, rng: Rng, temperature: float) -> None:
        """The same by a whole pass per element, as the definition says: what the sweep is held against."""
        for element in self.network.order:
            params = self.network(self.heads.features(x), condition).split(self.heads.parameter_sizes, dim=1)
            x[:, element] = self.heads.sample_element(element, params[element], rng, temperature=temperature)

    def _condition(self, context: Tensor | None, x: Tensor) -> Tensor | None:
        """The context in the network's precision; zeros where a conditional model is given none."""
        if not self.context.size:
            return None
        return x.new_zeros(len(x), self.context.size) if context is None else context.to(x.dtype)
