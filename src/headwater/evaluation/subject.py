"""What an evaluation needs of a run: real rows, samples and scores, in raw form and in bounded batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from headwater.errors import UsageError
from headwater.evaluation.columns import Column
from headwater.progress import Progress
from headwater.runs.sampling import model_device, sample_events
from headwater.runs.scoring import score_raw
from headwater.scores import Score

if TYPE_CHECKING:
    from headwater.data.dataset import Dataset
    from headwater.data.schema import Schema
    from headwater.runs.run import Run

__all__ = ["Rows", "choose_rows", "class_labels", "columns_of", "decode", "draw", "score", "take", "with_label"]


class Rows(NamedTuple):
    """Raw events, ``(n, *raw_shape)``, with their labels where they have any."""

    raw: Shaped[np.ndarray, "n *shape"]
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.raw)


def choose_rows(dataset: Dataset, split: str, n: int | None, seed: int) -> Int64[np.ndarray, " n"]:
    """Numbers of at most ``n`` rows of a split, chosen at random by ``seed``, in the data's order.

    Raises:
        UsageError: no such split, or an empty one.
    """
    index = dataset.splits.get(split)
    if index is None or len(index) == 0:
        raise UsageError(
            f"The data has no rows in the split {split!r}; it has {', '.join(sorted(dataset.splits))}.",
            hint="Choose another --split, or hold out rows: --set data.test=0.1",
        )
    if n is not None and n < len(index):
        index = np.sort(np.random.default_rng(seed).choice(index, n, replace=False))
    return index.astype(np.int64)


def take(dataset: Dataset, index: Int64[np.ndarray, " n"]) -> Rows:
    """The rows of these numbers."""
    raw, labels = dataset.rows(index)
    return Rows(raw.numpy(), labels)


def columns_of(schema: Schema) -> tuple[Column, ...]:
    """The columns of raw rows as the metrics see them; array elements are numbers, one column each."""
    found: list[Column] = []
    for column in schema.kept:
        if column.type in ("categorical", "binary") and column.categories:
            found.append(Column(column.name, "category", column.categories))
        elif column.size == 1:
            found.append(Column(column.name, "number"))
        else:
            found += [Column(f"{column.name}[{i}]", "number") for i in range(column.size)]
    return tuple(found)


def class_labels(rows: Rows, schema: Schema) -> Int64[np.ndarray, " n"] | None:
    """Labels as class numbers, or None where there are no classes."""
    if rows.labels is None or schema.label is None or not schema.label.classes:
        return None
    return rows.labels.numpy().astype(np.int64)


def with_label(
    columns: tuple[Column, ...], rows: Rows, schema: Schema
) -> tuple[tuple[Column, ...], Float[np.ndarray, "n columns"]]:
    """The rows of a table with the label as one more column, where it is not one of them already."""
    values = rows.raw.reshape(len(rows), -1).astype(np.float64)
    label = schema.label
    if label is None or rows.labels is None or any(c.name == label.name for c in columns):
        return columns, values
    own = Column(label.name, "category" if label.classes else "number", label.classes)
    codes = rows.labels.double().numpy()
    codes = np.where(codes < 0, np.nan, codes) if label.classes else codes
    return (*columns, own), np.concatenate([values, codes[:, None]], axis=1)


def draw(
    run: Run, n: int, labels: Tensor | None, *, seed: int, progress: Progress
) -> tuple[Rows, Bool[np.ndarray, " n"]]:
    """The finite ones of ``n`` generated events in raw form, and which of the n they are."""
    events = sample_events(
        run.model, run.codec, n, labels=labels, seed=seed, batch_size=None, progress=progress, options={}
    )
    finite = torch.isfinite(events).flatten(1).all(dim=1)
    kept = events[finite]
    return Rows(decode(run, kept), None if labels is None else labels[finite]), finite.numpy()


def decode(run: Run, events: Tensor) -> Shaped[np.ndarray, "n *shape"]:
    """Raw rows of encoded events."""
    device = model_device(run.model)
    parts = [run.codec.decode(part.to(device)).cpu() for part in torch.split(events, 4096)]
    return torch.cat(parts).numpy()


def score(run: Run, rows: Rows, *, seed: int, progress: Progress) -> Score:
    """Log-likelihood of raw rows in the data's own units, given their labels where the model is conditional.

    Raises:
        UsageError: the model has no density.
        DivergenceError: its inverse, or more than 1 % of the scores, is unusable.
    """
    raw = torch.from_numpy(rows.raw)
    return score_raw(run.model, run.codec, raw, rows.labels, seed=seed, progress=progress)
