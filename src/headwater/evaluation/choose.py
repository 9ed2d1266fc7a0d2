"""Which space and which extractor a data set is measured in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headwater.errors import DataError, UsageError, did_you_mean
from headwater.evaluation import extractors
from headwater.evaluation.extractors import Extractor
from headwater.evaluation.spaces import ColumnSpace, PixelSpace, Space
from headwater.evaluation.subject import Rows, class_labels, columns_of

if TYPE_CHECKING:
    from headwater.data.schema import Schema

__all__ = ["choose_extractor", "space_of"]


def space_of(schema: Schema, train: Rows) -> Space:
    """Standardized pixels for images, standardized columns for all else."""
    if schema.kind == "images":
        return PixelSpace(train.raw)
    return ColumnSpace(columns_of(schema), train.raw)


def choose_extractor(name: str | Path, space: Space, train: Rows, schema: Schema, *, seed: int) -> Extractor:
    """The extractor of a name or a file; ``auto`` looks at the data.

    For images ``auto`` is the classifier where there are two labels or more and random
    features where not; for all else it is the identity.

    Raises:
        UsageError: neither a name nor a file.
        DataError: a classifier without labels.
        CheckpointError: a file that is not an extractor's weights.
    """
    labels = class_labels(train, schema)
    if name == "auto":
        labelled = labels is not None and len(np.unique(labels[labels >= 0])) > 1
        name = "identity" if schema.kind != "images" else "classifier" if labelled else "random"
    match name:
        case "classifier":
            if labels is None:
                raise DataError(
                    "The data has no class labels to train a classifier on.", hint="Use extractor='random'."
                )
            return extractors.classifier(space, train.raw, labels, seed=seed)
        case "random":
            return extractors.random_features(space, train.raw, seed=seed)
        case "identity":
            return extractors.identity(space, train.raw)
    path = Path(name)
    if not path.exists():
        raise UsageError(
            f"No extractor is called {str(name)!r}, and no such file exists.",
            hint=did_you_mean(str(name), ("auto", "classifier", "random", "identity")),
        )
    return extractors.user_weights(space, train.raw, path)
