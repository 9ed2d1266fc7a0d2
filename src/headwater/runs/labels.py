"""Labels as people give them, made into the codes that a codec understands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from headwater.errors import UsageError, did_you_mean
from headwater.events import ContextSpec
from headwater.rng import Rng

__all__ = ["LabelArgument", "draw_labels", "label_codes"]

LabelArgument = str | int | float | Sequence[str | int | float] | None


def label_codes(label: LabelArgument, n: int, context: ContextSpec) -> Shaped[Tensor, " n"] | None:
    """Class numbers for ``n`` events, or the numbers themselves where the label is one (float64).

    Args:
        label: The name of a class for all, or a name for each; None for none.
        n: Number of events.
        context: What the model was given in training.

    >>> label_codes("dog", 2, ContextSpec(size=2, classes=("cat", "dog")))
    tensor([1, 1])

    Raises:
        UsageError: a model without labels, an unknown class, or not one label per event.
    """
    if label is None:
        return None
    if not context.size:
        raise UsageError(
            f"A label ({str(label)[:40]!r}) was given, but this run was trained without labels.",
            hint="Leave it out, or train a run with --label COLUMN.",
        )
    given = [label] * n if isinstance(label, str | int | float) else list(label)
    if len(given) != n:
        raise UsageError(
            f"Expected one label or {n} of them, got {len(given)}.", hint="Repeat the list as often as it is needed."
        )
    if not context.classes:
        return _numbers(given)
    place = {name: code for code, name in enumerate(context.classes)}
    unknown = next((str(name) for name in given if str(name) not in place), None)
    if unknown is not None:
        raise UsageError(f"No class is called {unknown!r}.", hint=did_you_mean(unknown, context.classes))
    return torch.tensor([place[str(name)] for name in given], dtype=torch.int64)


def _numbers(given: Sequence[str | int | float]) -> Float[Tensor, " n"]:
    try:
        return torch.tensor([float(value) for value in given], dtype=torch.float64)
    except ValueError as error:
        raise UsageError(f"The label of this run is a number: {error}.", hint="For example: --label 3.5") from None


def draw_labels(record: Mapping[str, Any], n: int, context: ContextSpec, seed: int) -> Int64[Tensor, " n"] | None:
    """Class numbers as frequent as in the training data; None where the run has no labels or did not count them.

    Label i depends on ``(seed, i)`` alone.
    """
    counts = record.get("label_counts")
    if not context.classes or not isinstance(counts, list) or len(counts) != context.size:
        return None
    weights = torch.tensor(counts, dtype=torch.float64)
    if not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
        return None
    rng = Rng.of(seed, n).fold("labels")
    return torch.searchsorted(weights.cumsum(0) / weights.sum(), rng.uniform("class", dtype=torch.float64), right=True)
