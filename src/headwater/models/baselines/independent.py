"""Every element on its own: the floor that a model must beat."""

from __future__ import annotations

import math
from typing import Any, ClassVar, final

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from headwater.errors import UnsupportedEventError
from headwater.events import ContextSpec, Encoding, EventSpec, Support
from headwater.models.base import Batch, ClosedForm, Density, GenerativeModel, Losses, ModelConfig, Paper, Player
from headwater.models.baselines.classes import (
    class_frequencies,
    class_log_weights,
    draw_class,
    mix_classes,
    number_of_classes,
)
from headwater.models.baselines.counts import CountTables
from headwater.models.baselines.held_out import choice_rows, rows_and_labels, shuffled
from headwater.models.baselines.reals import RealElements
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["Independent", "IndependentConfig"]


class IndependentConfig(ModelConfig):
    """Settings of :class:`Independent`."""

    components: int = Field(
        16, ge=1, le=256, description="most Gaussians of a real element; fewer where that is better"
    )
    cells: int = Field(512, ge=16, le=65536, description="most cells of an integer element's table")
    max_rows: int = Field(50_000, ge=1, description="most rows to fit the real elements to")


@final
class Independent(GenerativeModel, Density, ClosedForm):
    """``p(x | c) = prod_d p_d(x_d | c)``: counts for discrete elements, Gaussian mixtures for real ones.

    With labels each class has tables of its own, shrunk towards those of all rows.
    Without a label the density is the mixture of the classes by their frequency.

    Raises:
        UnsupportedEventError: an element of a support other than real, integer, binary or categorical.
        UsageError: a context that is not a label.
    """

    Config: ClassVar[type[ModelConfig]] = IndependentConfig
    encoding: ClassVar[Encoding] = Encoding.NATIVE
    monitor: ClassVar[str | None] = "nll"
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "Dempster1977",
            "Maximum Likelihood from Incomplete Data via the EM Algorithm",
            "Dempster, Laird & Rubin",
            1977,
            "https://doi.org/10.1111/j.2517-6161.1977.tb01600.x",
        ),
    )

    log_frequency: Float[Tensor, " classes"]

    def __init__(self, config: IndependentConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.max_rows = config.max_rows
        classes = number_of_classes(context, "independent")
        self.register_buffer("log_frequency", torch.full((classes,), -math.log(classes)))
        self.parts = nn.ModuleList()
        for segment in event.segments:
            if segment.support.discrete:
                self.parts.append(CountTables(segment, classes, config.cells))
            elif segment.support is Support.REAL:
                self.parts.append(RealElements(segment.size, classes, config.components))
            else:
                raise UnsupportedEventError(
                    f"'independent' has no distribution for elements of support {segment.support.value!r}.",
                    hint="Elements are real, integer, binary or categorical in the native encoding.",
                )

    def players(self) -> tuple[Player, ...]:
        return ()

    @torch.no_grad()
    def fit(self, batch: Batch, rng: Rng, held_out: Batch | None = None) -> None:
        x, context = rows_and_labels(batch, self.context)
        if context is not None:
            self.log_frequency.copy_(class_frequencies(context))
        rows = choice_rows(x, context, rng, held_out)
        few = shuffled(len(x), rng)[: self.max_rows]
        fewer = choice_rows(x[few], None if context is None else context[few], rng, held_out)
        for part, (place, _) in zip(self.parts, self.event.slices(), strict=True):
            assert isinstance(part, CountTables | RealElements)
            part.fit((rows if isinstance(part, CountTables) else fewer).columns(place))

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="independent")
        flat = x.flatten(1)
        log_density = torch.zeros_like(flat[:, :1])
        for part, (place, _) in zip(self.parts, self.event.slices(), strict=True):
            assert isinstance(part, CountTables | RealElements)
            log_density = log_density + part.log_prob(flat[:, place])
        weights = class_log_weights(context if self.context.size else None, self.log_frequency, x.shape[0])
        return Score(mix_classes(weights, log_density), "exact")

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self.log_prob(batch.x, context=batch.context).value.mean()
        return Losses(nll, {"nll": nll.detach()})

    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        self.Sampling.parse(options, where="independent")
        weights = class_log_weights(context if self.context.size else None, self.log_frequency, n)
        label = draw_class(weights, rng)
        columns = []
        for i, part in enumerate(self.parts):
            assert isinstance(part, CountTables | RealElements)
            columns.append(part.sample(label, rng.fold(i)))
        return torch.cat(columns, dim=1).reshape(n, *self.event.shape)
