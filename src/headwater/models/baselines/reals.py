"""The distribution of one real element: a Gaussian mixture of as many components as held-out rows bear out."""

from __future__ import annotations

import math
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from headwater.models.baselines.held_out import Rows
from headwater.models.baselines.mixture1d import Mixtures, expectation_maximization, log_density, quantile_start
from headwater.rng import Rng

__all__ = ["RealElements"]

_CHUNK = 20_000_000
_STRENGTHS = (0.5, 2.0, 8.0, 32.0)


@final
class RealElements(nn.Module):
    """Gaussian mixtures of the elements of one real segment, one set per class."""

    log_weight: Float[Tensor, "classes elements components"]
    mean: Float[Tensor, "classes elements components"]
    scale: Float[Tensor, "classes elements components"]

    def __init__(self, elements: int, classes: int, components: int) -> None:
        super().__init__()
        shape = (classes, elements, components)
        self.register_buffer("log_weight", torch.full(shape, -math.log(components)))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    def fit(self, rows: Rows) -> None:
        """The number of Gaussians of each element is the one best on the held-out rows."""
        step = max(1, _CHUNK // (len(rows.all) * self.mean.shape[2]))
        for start in range(0, self.mean.shape[1], step):
            part = slice(start, start + step)
            self._fit(rows.columns(part), part)

    def _fit(self, rows: Rows, part: slice) -> None:
        most, x, trial = self.mean.shape[2], rows.all.double(), rows.trial.double()
        sizes = [k for k in (1, 2, 4, 8, 16, 32, 64, 128) if k < most] + [most]
        trials = [_shared(trial, k) for k in sizes]
        best = torch.stack([log_density(rows.judge.double(), m).mean(dim=0) for m in trials]).argmax(dim=0)
        whole = trials if rows.all is rows.trial else [_shared(x, k) for k in sizes]
        shared = self._padded(best, whole)
        for c, fitted in enumerate(_per_class(rows, shared)):
            for buffer, value in zip((self.log_weight, self.mean, self.scale), fitted, strict=True):
                buffer[c, part] = value.to(buffer.dtype)

    def _padded(self, best: Int64[Tensor, " elements"], options: list[Mixtures]) -> Mixtures:
        """For each element the chosen mixture, filled up with components of weight nought."""
        fill = (-1e4, 0.0, 1.0)
        fields = []
        for i in range(3):
            stack = [nn.functional.pad(m[i], (0, self.mean.shape[2] - m[i].shape[1]), value=fill[i]) for m in options]
            fields.append(torch.stack(stack)[best, torch.arange(len(best))])
        return Mixtures(*fields)

    def log_prob(self, x: Float[Tensor, "batch elements"]) -> Float[Tensor, "batch classes"]:
        """``sum_d log p_cd(x_d)`` for every class."""
        mixtures = zip(self.log_weight, self.mean, self.scale, strict=True)
        return torch.stack([log_density(x, Mixtures(*fields)).sum(dim=1) for fields in mixtures], dim=1)

    def sample(self, label: Int64[Tensor, " n"], rng: Rng) -> Float[Tensor, "n elements"]:
        """Elements of each row's class."""
        chosen = rng.categorical("component", self.log_weight[label])[..., None]
        mean, scale = (buffer[label].gather(2, chosen)[..., 0] for buffer in (self.mean, self.scale))
        return mean + scale * rng.normal("element", mean.shape[1], dtype=mean.dtype)


def _shared(x: Float[Tensor, "rows elements"], components: int) -> Mixtures:
    """One pseudo-row per component keeps Gaussians from collapsing onto single rows."""
    return expectation_maximization(x, quantile_start(x, components), strength=float(components))


def _per_class(rows: Rows, shared: Mixtures) -> list[Mixtures]:
    """A mixture of each class, drawn towards that of all rows as far as is best on the held-out rows."""
    if len(rows.classes) == 1:
        return [shared]

    def own(x: Tensor, strength: float) -> Mixtures:
        return expectation_maximization(x.double(), shared, steps=20, strength=strength) if len(x) else shared

    pairs = [(t, j.double()) for t, j in zip(rows.trial_classes, rows.judge_classes, strict=True) if len(j)]
    best = max(_STRENGTHS, key=lambda a: sum(float(log_density(j, own(t, a)).sum()) for t, j in pairs))
    return [own(x, best) for x in rows.classes]
