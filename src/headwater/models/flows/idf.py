"""Integer discrete flow: bijections of whole numbers, exact probabilities, lossless."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from headwater.bijections.shift import Code
from headwater.errors import UnsupportedEventError
from headwater.events import ContextSpec, Encoding, EventSpec, Support
from headwater.models.base import (
    Batch,
    Density,
    GenerativeModel,
    Invertible,
    Losses,
    ModelConfig,
    Options,
    Paper,
    Player,
)
from headwater.models.flows.given import ContextConfig, Given
from headwater.models.flows.integer_codes import Codes
from headwater.models.flows.integer_level import Level
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["IDF", "IDFConfig", "IDFSampling"]

_LEVELS = 12


class IDFConfig(ContextConfig):
    """Architecture of an integer discrete flow."""

    couplings: int = Field(2, ge=1, le=32, description="couplings per level")
    levels: int | None = Field(
        None,
        ge=1,
        le=12,
        description="at each but the last, half of the codes leave; None: until nothing is left",
    )
    network: Literal["auto", "mlp", "conv"] = Field(
        "auto", description="auto: conv for pictures of even height and width whose pixels are numbers or coins"
    )
    width: int = Field(128, ge=1, le=4096, description="hidden width (mlp) or channels (conv) of the networks")
    blocks: int = Field(2, ge=0, le=16, description="residual blocks of a network")
    activation: Literal["relu", "silu", "gelu", "elu"] = Field("silu", description="of the networks")
    mixtures: int = Field(5, ge=1, le=100, description="components of each mixture of discretized logistics")
    integer: Literal["auto", "logistic", "categorical"] = Field(
        "auto",
        description="density of numbers: one per value, or mixture of logistics; auto: by their number of values",
    )
    order_seed: int = Field(0, ge=0, lt=2**31, description="seed of the order in which codes move and leave")


class IDFSampling(Options):
    """Options of :meth:`IDF.sample`."""

    temperature: float = Field(1.0, gt=0, le=10, description="below 1: nearer to the typical; 1: the model itself")


@final
class IDF(GenerativeModel, Density, Invertible):
    """``p(x | c) = p(f(x; c) | c)`` for a bijection ``f`` of the codes: a permutation of all events has no Jacobian.

    Level after level, couplings shift half of the codes by what the other half says, and half of the codes
    leave with a density given those that stay: ``p(z) = prod_l p(z_l | z_{>l}, c)``. Pictures are squeezed
    (2 x 2 pixels to 4 channels) and their networks are convolutions; else the networks are dense.

    The paper shifts along all whole numbers, so that some probability lies on values that the data cannot
    have. Here shifts go round the ring of the ``K`` values that an element can have: ``f`` is a bijection of
    exactly the possible events, their probabilities sum to one, and every sample is possible. Hence names and
    coins are allowed beside numbers, and unknown whole numbers without bounds are not.

    ``f`` is not continuous in the weights: where a shift lies on the edge between two whole numbers, another
    order of summation (device, batch size, precision) can round it the other way and give that event another,
    equally valid, probability. In float32 this befalls few events, in float64 hardly any.

    Raises:
        UnsupportedEventError: an element that is not discrete.

    >>> from headwater.rng import Rng
    >>> model = IDF(IDFConfig(width=8), EventSpec.pixels(1, 4, 4, levels=5), ContextSpec())
    >>> model.sample(3, rng=Rng.of(0, 3)).shape
    torch.Size([3, 1, 4, 4])
    """

    Config: ClassVar[type[ModelConfig]] = IDFConfig
    Sampling: ClassVar[type[Options]] = IDFSampling
    encoding: ClassVar[Encoding] = Encoding.NATIVE
    monitor: ClassVar[str | None] = "nll"
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "hoogeboom2019integer",
            "Integer Discrete Flows and Lossless Compression",
            "Emiel Hoogeboom, Jorn W. T. Peters, Rianne van den Berg, Max Welling",
            2019,
            "https://arxiv.org/abs/1905.07376",
        ),
        Paper(
            "vandenberg2021idfpp",
            "IDF++: Analyzing and Improving Integer Discrete Flows for Lossless Compression",
            "Rianne van den Berg, Alexey A. Gritsenko, Mostafa Dehghani, Casper Kaae Sønderby, Tim Salimans",
            2021,
            "https://arxiv.org/abs/2006.12459",
        ),
        Paper(
            "tran2019discrete",
            "Discrete Flows: Invertible Generative Models of Discrete Data",
            "Dustin Tran, Keyon Vafa, Kumar Krishna Agrawal, Laurent Dinh, Ben Poole",
            2019,
            "https://arxiv.org/abs/1905.10347",
        ),
    )
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "optimizer": {"lr": 1e-3, "schedule": "cosine", "clip": 5.0},
        "training": {"batch_size": 256, "ema": 0.999},
    }

    config: IDFConfig
    low: Tensor

    def __init__(self, config: IDFConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        if not event.is_discrete:
            raise UnsupportedEventError(
                f"An integer discrete flow needs discrete elements (whole numbers, categories, coins), got {event}.",
                hint="The model 'argmax' takes rows of reals and discrete values together; 'nsf' takes reals.",
            )
        self.config, self.event, self.context = config, event, context
        self.given = Given(context, config.embedding)
        low = [segment.low or 0.0 for segment in event.segments for _ in range(segment.size)]
        self.register_buffer("low", torch.tensor(low).reshape(event.shape), persistent=False)
        maps = _convolves(event, config.network)
        self.entry = event.shape if maps else (event.size,)
        self.levels = nn.ModuleList(self._levels(Codes.of(event, maps=maps)))

    def _levels(self, codes: Codes | None) -> Iterator[Level]:
        config = self.config
        most = config.levels or _LEVELS
        sizes = {"width": config.width, "blocks": config.blocks, "activation": config.activation}
        number = 0
        while codes is not None:
            number += 1
            level = Level(
                codes,
                couplings=config.couplings,
                order_seed=config.order_seed * 64 + number,
                last=number == most or codes.indivisible,
                mixtures=config.mixtures,
                integer=config.integer,
                context=self.given.size,
                **sizes,
            )
            yield level
            codes = level.rest

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self._log_prob(batch.x, self._given(batch.context, batch.x)).mean()
        return Losses(nll, {"nll": nll.detach()})

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="scoring")
        return Score(self._log_prob(x, self._given(context, x)), "exact")

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        chosen = IDFSampling.parse(options, where="sampling")
        like = next(self.parameters()).new_empty(n, 0)
        given = self._given(context, like)
        x: Tensor | None = None
        for number, level in reversed(list(enumerate(self._each()))):
            draws = rng.fold(number)
            z = level.density.sample(like, x, given, draws, temperature=chosen.temperature)
            x = level.join(z, x, given)
        assert x is not None
        return x.reshape(-1, *self.event.shape) + self.low

    def to_noise(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch noise"]:
        return torch.cat([z.value.flatten(1) for _, z, _ in self._down(x, self._given(context, x))], dim=1)

    def from_noise(
        self, z: Float[Tensor, "batch noise"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        """The event of these codes; numbers that are no codes count as the nearest one."""
        given, levels = self._given(context, z), list(self._each())
        shapes = [level.density.shape for level in levels]
        parts = torch.split(z.round(), [math.prod(shape) for shape in shapes], dim=1)
        x: Tensor | None = None
        for level, shape, part in reversed(list(zip(levels, shapes, parts, strict=True))):
            codes = torch.minimum(part.clamp_min(0), level.density.heads.sizes - 1)
            x = level.join(codes.reshape(-1, *shape), x, given)
        assert x is not None
        return x.reshape(-1, *self.event.shape) + self.low

    def _each(self) -> Iterator[Level]:
        for level in self.levels:
            assert isinstance(level, Level)
            yield level

    def _down(self, x: Tensor, given: Tensor | None) -> Iterator[tuple[Level, Code, Code | None]]:
        """Level by level what leaves and what stays."""
        rest: Code | None = Code.of((x - self.low).reshape(-1, *self.entry))
        for level in self._each():
            assert rest is not None
            z, rest = level.split(rest, given)
            yield level, z, rest

    def _log_prob(self, x: Tensor, given: Tensor | None) -> Float[Tensor, " batch"]:
        total = x.new_zeros(len(x))
        for level, z, rest in self._down(x, given):
            total = total + level.density.log_prob(z, rest, given)
        return total

    def _given(self, context: Tensor | None, like: Tensor) -> Tensor | None:
        """The context in the dtype of the networks, whatever that of the codes."""
        found: Tensor | None = self.given(context, next(self.parameters()).new_zeros(len(like)))
        return found


def _convolves(event: EventSpec, network: str) -> bool:
    """Whether the networks are convolutions.

    Raises:
        UnsupportedEventError: they must be and cannot.
    """
    alike = len({segment.model_copy(update={"size": 1, "name": ""}) for segment in event.segments}) == 1
    numbers = event.segments[0].support is not Support.CATEGORICAL
    can = event.is_image and alike and numbers and all(side % 2 == 0 for side in event.shape[1:])
    if network == "conv" and not can:
        raise UnsupportedEventError(
            f"network='conv' needs pictures of even sides whose pixels are alike, numbers or coins, got {event}.",
            hint="Use --set model.network=mlp.",
        )
    return can and network != "mlp"
