"""What a baseline chooses its few knobs on: rows it was not fitted to."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from headwater.events import ContextSpec
from headwater.models.base import Batch
from headwater.models.baselines.classes import rows_of_classes
from headwater.rng import Rng

__all__ = ["Rows", "choice_rows", "rows_and_labels", "seed_of", "shuffled"]

_SHARE = 0.15
_MOST = 4_000


class Rows(NamedTuple):
    """Rows to fit to; ``trial`` models are fitted to a part of them and judged on the held-out ``judge``.

    The lists hold the rows of each class; without labels each is one list of all.
    """

    all: Tensor
    classes: list[Tensor]
    trial: Tensor
    trial_classes: list[Tensor]
    judge: Tensor
    judge_classes: list[Tensor]

    def columns(self, place: slice) -> Rows:
        """The same rows, some of their elements."""

        def some(rows: list[Tensor]) -> list[Tensor]:
            return [part[:, place] for part in rows]

        columns = some([self.all, self.trial, self.judge])
        classes = [some(rows) for rows in (self.classes, self.trial_classes, self.judge_classes)]
        return Rows(columns[0], classes[0], columns[1], classes[1], columns[2], classes[2])


def rows_and_labels(batch: Batch, given: ContextSpec) -> tuple[Tensor, Tensor | None]:
    """The events as rows, with their contexts if the model takes any, where scikit-learn can read them."""
    context = None if given.size == 0 or batch.context is None else batch.context.cpu()
    return batch.x.flatten(1).cpu(), context


def choice_rows(
    x: Float[Tensor, "rows elements"],
    context: Float[Tensor, "rows classes"] | None,
    rng: Rng,
    held_out: Batch | None,
) -> Rows:
    """The held-out events judge where there are some; else 15 % of the training rows, put aside for the trials."""
    if held_out is not None and len(held_out.x):
        judge, labels = held_out.x[:_MOST].flatten(1).cpu(), held_out.context
        if context is None:
            return Rows(x, [x], x, [x], judge, [judge])
        if labels is not None:
            classes = rows_of_classes(x, context)
            return Rows(x, classes, x, classes, judge, rows_of_classes(judge, labels[:_MOST].cpu()))
    order = shuffled(x.shape[0], rng)
    aside = min(max(1, int(_SHARE * len(order))), _MOST) if len(order) > 1 else 0
    judge, trial = (order[:aside], order[aside:]) if aside else (order, order)
    fields: list[Any] = []
    for rows in (slice(None), trial, judge):
        part = x[rows]
        fields += [part, [part] if context is None else rows_of_classes(part, context[rows])]
    return Rows(*fields)


def shuffled(n: int, rng: Rng) -> Tensor:
    """A permutation of ``0 .. n-1`` that depends on the first key alone."""
    return torch.argsort(rng.rows(slice(0, 1)).uniform("order", n, dtype=torch.float64)[0])


def seed_of(rng: Rng) -> int:
    """A seed for a library with generators of its own."""
    return int(rng.rows(slice(0, 1)).bits("seed", 1)) & 0x7FFFFFFF
