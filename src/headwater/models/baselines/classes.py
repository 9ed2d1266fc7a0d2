"""Labels in baselines: a context row is a distribution over classes, all zeros meaning their frequencies."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headwater.errors import UsageError
from headwater.events import ContextSpec
from headwater.rng import Rng

__all__ = [
    "class_frequencies",
    "class_log_weights",
    "draw_class",
    "mix_classes",
    "number_of_classes",
    "rows_of_classes",
]


def number_of_classes(context: ContextSpec, model: str) -> int:
    """How many classes a baseline keeps apart; 1 for an unconditional one.

    Raises:
        UsageError: the context is not a label.
    """
    if context.size and not context.classes:
        raise UsageError(
            f"{model!r} can be conditioned on a label only, got a context of {context.size} numbers without classes.",
            hint="Use data.label=COLUMN, or another model: `headwater models` lists them.",
        )
    return max(1, context.size)


def rows_of_classes(x: Float[Tensor, "rows *event"], context: Float[Tensor, "rows classes"]) -> list[Tensor]:
    """The rows of each class, for fitting; rows without a label are in none of them."""
    return [x[context[:, c] > 0] for c in range(context.shape[1])]


def class_frequencies(context: Float[Tensor, "rows classes"] | None) -> Float[Tensor, " classes"]:
    """``log p(c)``, add-half smoothed."""
    if context is None:
        return torch.zeros(1)
    counts = context.sum(dim=0) + 0.5
    return torch.log(counts / counts.sum())


def class_log_weights(
    context: Float[Tensor, "batch classes"] | None, log_frequency: Float[Tensor, " classes"], n: int
) -> Float[Tensor, "n classes"]:
    """``log w_c`` of each row: its context normalized to one, or the class frequencies where that is all zeros."""
    if context is None:
        return log_frequency.expand(n, -1)
    mass = context.to(log_frequency.dtype).clamp(min=0)
    total = mass.sum(dim=1, keepdim=True)
    return torch.where(total > 0, torch.log(mass / torch.where(total > 0, total, 1)), log_frequency)


def mix_classes(
    log_weights: Float[Tensor, "batch classes"], log_density: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """``log sum_c w_c p_c(x)``."""
    return torch.logsumexp(log_weights + log_density, dim=1)


def draw_class(log_weights: Float[Tensor, "n classes"], rng: Rng) -> Int64[Tensor, " n"]:
    """A class per row."""
    return rng.categorical("class", log_weights)
