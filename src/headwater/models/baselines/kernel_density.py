"""Kernel density estimate: a Gaussian on every training row, of a width chosen on held-out rows."""

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
from headwater.models.baselines.held_out import Rows, choice_rows, rows_and_labels, shuffled
from headwater.rng import Rng
from headwater.scores import Score

__all__ = ["KernelDensity", "KernelDensityConfig", "log_kernels"]

_ABSENT = -1e4
_BANDWIDTHS = tuple(0.01 * 1.15**i for i in range(44))
_TRIALS = 1_000


class KernelDensityConfig(ModelConfig):
    """Settings of :class:`KernelDensity`."""

    max_points: int = Field(10_000, ge=1, le=1_000_000, description="most training rows to keep, drawn at random")
    bandwidth: float | None = Field(None, gt=0, description="standard deviation of the kernel; None: chosen held-out")


def log_kernels(
    x: Float[Tensor, "batch elements"], points: Float[Tensor, "points elements"], bandwidth: Float[Tensor, ""]
) -> Float[Tensor, "batch points"]:
    """``log N(x; x_i, h^2 I)`` of every point ``x_i``.

    Distances come from one matrix product; both sides are centred first, so that it
    loses no digits to an offset.
    """
    centre = points.mean(dim=0)
    a, b = (x - centre) / bandwidth, (points - centre) / bandwidth
    square = a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T
    return -0.5 * square.clamp(min=0) - x.shape[1] * (torch.log(bandwidth) + 0.5 * math.log(2 * math.pi))


@final
class KernelDensity(GenerativeModel, Density, ClosedForm):
    """``p(x | c) = 1/n_c sum_i N(x; x_i, h^2 I)`` over the training rows of class ``c``.

    A class without rows borrows those of all. Without a label the density is the
    mixture of the classes by their frequency, which is the estimate from all rows.

    On Estimation of a Probability Density Function and Mode (Parzen, 1962),
    https://doi.org/10.1214/aoms/1177704472.

    Raises:
        UsageError: a context that is not a label.
    """

    Config: ClassVar[type[ModelConfig]] = KernelDensityConfig
    encoding: ClassVar[Encoding] = Encoding.REAL
    monitor: ClassVar[str | None] = "nll"
    papers: ClassVar[tuple[Paper, ...]] = (
        Paper(
            "Parzen1962",
            "On Estimation of a Probability Density Function and Mode",
            "Parzen",
            1962,
            "https://doi.org/10.1214/aoms/1177704472",
        ),
    )

    config: KernelDensityConfig
    log_frequency: Float[Tensor, " classes"]
    points: Float[Tensor, "points elements"]
    log_weight: Float[Tensor, "classes points"]
    bandwidth: Float[Tensor, ""]

    def __init__(self, config: KernelDensityConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        classes, count = number_of_classes(context, "kernel-density"), config.max_points
        self.register_buffer("log_frequency", torch.full((classes,), -math.log(classes)))
        self.register_buffer("points", torch.zeros(count, event.size))
        self.register_buffer("log_weight", torch.full((classes, count), -math.log(count)))
        self.register_buffer("bandwidth", torch.ones(()))

    def players(self) -> tuple[Player, ...]:
        return ()

    @torch.no_grad()
    def fit(self, batch: Batch, rng: Rng, held_out: Batch | None = None) -> None:
        x, context = rows_and_labels(batch, self.context)
        if context is not None:
            self.log_frequency.copy_(class_frequencies(context))
        kept = shuffled(len(x), rng)[: self.config.max_points]
        x, context = x[kept], None if context is None else context[kept]
        if self.config.bandwidth is None:
            self.bandwidth.fill_(self._choose(choice_rows(x, context, rng, held_out)))
        else:
            self.bandwidth.fill_(self.config.bandwidth)
        self.points.zero_()
        self.points[: len(x)] = x.to(self.points.dtype)
        self.log_weight.fill_(_ABSENT)
        for c in range(self.log_weight.shape[0]):
            own = torch.ones(len(x)) if context is None else context[:, c]
            own = own if own.sum() > 0 else torch.ones(len(x))
            self.log_weight[c, : len(x)] = torch.log(own / own.sum()).clamp(min=_ABSENT).to(self.log_weight.dtype)

    def _choose(self, rows: Rows) -> float:
        """The bandwidth, on a grid 15 % apart, with the best held-out likelihood of each row in its class."""

        size, grid = rows.all.shape[1], torch.tensor(_BANDWIDTHS, dtype=torch.float64)
        total = torch.zeros_like(grid)
        one = torch.ones((), dtype=torch.float64)
        for points, judge in zip(rows.trial_classes, rows.judge_classes, strict=True):
            if len(points) and len(judge):
                some = judge[: max(1, _TRIALS // len(rows.classes))].double()
                exponent = log_kernels(some, points.double(), one) + 0.5 * size * math.log(2 * math.pi)
                total += torch.stack([torch.logsumexp(exponent / h**2, dim=1).sum() for h in grid])
                total -= len(some) * size * torch.log(grid)
        return float(grid[total.argmax()])

    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        self.Scoring.parse(budget, where="kernel-density")
        kernels = log_kernels(x.flatten(1), self.points, self.bandwidth)
        each = torch.stack([torch.logsumexp(kernels + weight, dim=1) for weight in self.log_weight], dim=1)
        weights = class_log_weights(context if self.context.size else None, self.log_frequency, x.shape[0])
        return Score(mix_classes(weights, each), "exact")

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        nll = -self.log_prob(batch.x, context=batch.context).value.mean()
        return Losses(nll, {"nll": nll.detach()})

    @torch.no_grad()
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        self.Sampling.parse(options, where="kernel-density")
        weights = class_log_weights(context if self.context.size else None, self.log_frequency, n)
        label = draw_class(weights, rng)
        u = rng.uniform("point", dtype=torch.float64)
        point = torch.zeros_like(label)
        for c, weight in enumerate(self.log_weight):
            share = torch.cumsum(weight.double().exp(), dim=0)
            found = torch.searchsorted(share, u * share[-1], right=True)
            point = torch.where(label == c, found, point)
        noise = rng.normal("noise", self.event.size, dtype=self.points.dtype)
        x = self.points[point.clamp(max=len(self.points) - 1)] + self.bandwidth * noise
        return x.reshape(n, *self.event.shape)

    def extra_repr(self) -> str:
        return f"{self.event}, at most {len(self.points)} points"
