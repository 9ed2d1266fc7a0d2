"""Transformer over the patches of a picture, pixels within a patch one after another: exact likelihood."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from headwater.distributions.heads import Heads
from headwater.errors import UnsupportedEventError, UsageError
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import Batch, Density, GenerativeModel, Losses, ModelConfig, Options, Paper, Player
from headwater.networks.masked import MaskedMLP
from headwater.networks.patch_transformer import PatchTransformer
from headwater.networks.patches import choose_patch
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["PixelTransformer", "PixelTransformerConfig", "PixelTransformerSampling"]

_MOST_EMBEDDED = 256


class PixelTransformerConfig(ModelConfig):
    """Settings of :class:`PixelTransformer`."""

    width: int = Field(64, ge=1, description="size of a token")
    depth: int = Field(3, ge=1, description="transformer blocks")
    heads: int = Field(4, ge=1, description="attention heads; must divide width")
    patch: tuple[int, int] | None = Field(
        None,
        description="height and width of a token's patch; None: at least 4 pixels, at most 200 tokens",
    )
    reach: int = Field(3, ge=0, le=16, description="pixels around a patch that its token is shown directly; 0: none")
    patch_width: int = Field(96, ge=1, description="hidden units of the network that goes through a patch's pixels")
    mixtures: int = Field(10, ge=1, description="components of each mixture (pixels of many levels, reals)")
    integer: Literal["auto", "logistic", "categorical"] = Field(
        "auto", description="pixels: probability per level, or mixture of logistics; auto: by their number of levels"
    )


class PixelTransformerSampling(Options):
    """Options of :meth:`PixelTransformer.sample`."""

    temperature: float = Field(1.0, gt=0, le=10, description="below 1: nearer to the typical; 1: the model itself")
    cache: bool = Field(True, description="keep keys and values of earlier tokens; off: all again per token (same)")


@final
class PixelTransformer(GenerativeModel, Density):
    """``p(x | c) = prod_t prod_j p(x_tj | x_tj', x_t', c)``, patches ``t`` of elements ``j``, j' < j, t' < t.

    The picture is cut into patches, row by row; colours of a pixel stand together. A
    causal transformer reads them: its input at place ``t`` is the patch ``t - 1`` (each value as
    a number and, up to 256 levels, as an embedding), the known pixels around
    patch ``t``, the place (row and column), and the label. Its output conditions a masked
    network that models the elements of patch ``t`` one after another. With patches of
    one pixel this is a transformer over pixels; larger ones shorten the sequence and the
    likelihood stays exact.

    Raises:
        UnsupportedEventError: the event is not a picture, or its pixels differ in support.
        UsageError: the patch does not divide the picture, or ``heads`` does not divide ``width``.

    >>> from headwater.rng import Rng
    >>> config = PixelTransformerConfig(width=8, depth=1, heads=2)
    >>> model = PixelTransformer(config, EventSpec.pixels(1, 4, 4), ContextSpec())
    >>> model.sample(2, rng=Rng.of(0, 2)).shape
    torch.Size([2, 1, 4, 4])
    """

    Config: ClassVar[type[ModelConfig]] = PixelTransformerConfig
    Sampling: ClassVar[type[Options]] = PixelTransformerSampling
    encoding: ClassVar[Encoding] = Encoding.NATIVE
    monitor: ClassVar[str | None] = "nll"
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper("Parmar2018", "Image Transformer", "Parmar et al.", 2018, "https://arxiv.org/abs/1802.05751"),
        Paper(
            "Chen2020",
            "Generative Pretraining from Pixels",
            "Chen, Radford, Child, Wu, Jun, Luan & Sutskever",
            2020,
            "https://proceedings.mlr.press/v119/chen20s.html",
        ),
        Paper(
            "Salimans2017",
            "PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications",
            "Salimans, Karpathy, Chen & Kingma",
            2017,
            "https://arxiv.org/abs/1701.05517",
        ),
    )
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "training": {"batch_size": 64, "ema": 0.995},
        "optimizer": {"lr": 2e-3, "betas": (0.9, 0.98), "weight_decay": 0.05, "clip": 1.0},
    }

    config: PixelTransformerConfig

    def __init__(self, config: PixelTransformerConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        patch, shape = _patch(config, event), (event.shape[0], event.shape[1], event.shape[2])
        self.reader = PatchTransformer(
            shape,
            patch,
            width=config.width,
            depth=config.depth,
            heads=config.heads,
            reach=config.reach,
            context=context.size,
        )
        tokens, elements = self.reader.tokens, self.reader.elements
        segment = event.segments[0].model_copy(update={"size": elements})
        self.low = segment.low or 0.0
        self.heads = Heads(
            EventSpec(shape=(elements,), segments=(segment,)),
            mixtures=config.mixtures,
            real="mixture",
            integer=config.integer,
        )
        levels = segment.cardinality if segment.support.discrete else None
        self.levels = levels if levels is not None and levels <= _MOST_EMBEDDED else 0
        width, features = config.width, sum(self.heads.feature_sizes)
        self.value = nn.Embedding(elements * self.levels, width) if self.levels and tokens > 1 else None
        self.number = nn.Linear(features, width, bias=False) if tokens > 1 else None
        self.within = MaskedMLP(
            elements,
            self.heads.parameter_sizes,
            width=config.patch_width,
            blocks=1,
            condition=width,
            inputs_per_feature=self.heads.feature_sizes,
            scale=0.5,
        )
        if self.value is not None:
            nn.init.normal_(self.value.weight, std=0.1)

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def _scaled(self, flat: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch pixels_and_zero"]:
        """Every pixel as a number of order one, and a zero that stands for "not known"."""
        x = self.heads.features(self.reader.patches(flat).flatten(0, 1)).reshape(len(flat), *self.reader.order.shape)
        return nn.functional.pad(self.reader.flatten(x), (0, 1))

    def _shown(self, patch: Float[Tensor, "*batch elements"]) -> Float[Tensor, "*batch width"]:
        """A patch as the transformer's input."""
        assert self.number is not None
        shown = self.number(self.heads.features(patch.flatten(0, -2)).reshape(*patch.shape[:-1], -1))
        if self.value is not None:
            code = (patch - self.low).long().clamp(0, self.levels - 1)
            code = code + torch.arange(patch.shape[-1], device=code.device) * self.levels
            shown = shown + self.value(code).sum(dim=-2)
        return torch.as_tensor(shown)

    def _read(self, flat: Float[Tensor, "batch pixels"], context: Tensor | None) -> Float[Tensor, "batch tokens width"]:
        """What is known before each patch."""
        shown = None if self.number is None else self._shown(self.reader.patches(flat)[:, :-1])
        out: Tensor = self.reader(shown, self._scaled(flat), context)
        return out

    def log_prob_tokens(
        self, flat: Float[Tensor, "batch pixels"], context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch tokens"]:
        """``log p(x_t | x_t', c)`` of each patch of flattened events, in nats."""
        h = self._read(flat, context).flatten(0, 1)
        patches = self.reader.patches(flat).flatten(0, 1)
        params = self.within(self.heads.features(patches), h)
        return self.heads.log_prob(params, patches).sum(dim=1).reshape(len(flat), -1)

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="pixel-transformer")
        return Score(self.log_prob_tokens(x.flatten(1), context).sum(dim=1), "exact")

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self.log_prob_tokens(batch.x.flatten(1), batch.context).sum(dim=1).mean()
        return Losses(nll / self.event.size, {"nll": nll.detach()})

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = PixelTransformerSampling.parse(options, where="pixel-transformer")
        x = self.reader.row.new_full((n, self.event.size), self.low)
        if chosen.cache:
            self._cached(x, context, rng, chosen.temperature)
        else:
            for token in range(self.reader.tokens):
                h = self._read(x, context)[:, token]
                x[:, self.reader.order[token]] = self._patch(h, rng.fold(token), chosen.temperature)
        return x.reshape(n, *self.event.shape)

    def _cached(self, x: Tensor, context: Tensor | None, rng: Rng, temperature: float) -> None:
        """Fill ``x`` patch by patch; each token goes through the transformer once."""
        state = self.reader.start(len(x), context)
        for token in range(self.reader.tokens):
            shown = self._shown(x[:, self.reader.order[token - 1]]) if token else None
            patch = self._patch(self.reader.step(state, token, shown), rng.fold(token), temperature)
            x[:, self.reader.order[token]] = patch
            state.known[:, self.reader.order[token]] = self.heads.features(patch)

    def _patch(self, h: Float[Tensor, "n width"], rng: Rng, temperature: float) -> Float[Tensor, "n elements"]:
        """The elements of one patch given the transformer's output."""
        patch = h.new_zeros(len(h), self.reader.elements)

        def choose(element: int, params: Tensor) -> Tensor:
            patch[:, element] = self.heads.sample_element(element, params, rng, temperature=temperature)
            return self.heads.features_element(element, patch[:, element])

        self.within.sweep(len(h), choose, h)
        return patch

    def extra_repr(self) -> str:
        return f"{self.event}"


def _patch(config: PixelTransformerConfig, event: EventSpec) -> tuple[int, int]:
    """The patch, after everything that does not fit was refused."""
    if not event.is_image or len(event.segments) != 1:
        raise UnsupportedEventError(
            f"'pixel-transformer' models pictures of one kind of pixel, got {event}.",
            hint="For vectors and tables use model.name=made.",
        )
    if config.width % config.heads:
        raise UsageError(f"model.heads={config.heads} does not divide model.width={config.width}.")
    _, height, width = event.shape
    patch = config.patch or choose_patch(height, width)
    if height % patch[0] or width % patch[1] or min(patch) < 1:
        raise UsageError(
            f"A patch of {patch[0]} x {patch[1]} does not divide pictures of {height} x {width}.",
            hint=f"Leave model.patch out, or try {choose_patch(height, width)}.",
        )
    return patch
