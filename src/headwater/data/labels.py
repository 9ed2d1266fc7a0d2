"""Labels as people have them (numbers, texts, flags) to class codes, or to numbers where they are measurements."""

from __future__ import annotations

import numpy as np

from headwater.data.limits import Limits
from headwater.data.schema import Label
from headwater.errors import DataError

__all__ = ["decode_labels", "encode_labels", "look_up_labels"]


def encode_labels(values: np.ndarray, *, name: str, limits: Limits) -> tuple[np.ndarray, Label]:
    """Codes and class names; float64 values where they are not whole or there are too many.

    Raises:
        DataError: infinite, or texts with more classes than accepted.
    """
    values = values.reshape(-1)
    if values.dtype.kind == "f":
        if np.isinf(values).any():
            raise DataError(f"Label {name!r}, row {int(np.isinf(values).argmax())} is infinite.")
        present = values[~np.isnan(values)]
        if (present != np.round(present)).any():
            return values.astype(np.float64), Label(name=name, source="float64")
        classes = np.unique(present)
    elif values.dtype.kind in "biuUS":
        classes = np.unique(values)
    else:
        raise DataError(f"Label {name!r}: expected numbers or texts, got {values.dtype}.")
    if len(classes) > limits.classes:
        if values.dtype.kind in "US":
            raise DataError(
                f"Label {name!r} has {len(classes)} classes; at most {limits.classes} are accepted.",
                hint="Leave it out: --set data.label=none",
            )
        return values.astype(np.float64), Label(name=name, source=str(values.dtype))
    codes = np.searchsorted(classes, values).astype(np.int64)
    if values.dtype.kind == "f":
        codes[np.isnan(values)] = -1
    return codes, Label(name=name, classes=tuple(_text(c) for c in classes.tolist()), source=str(values.dtype))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(int(value)) if isinstance(value, float) else str(value)


def look_up_labels(texts: list[str | None], label: Label) -> np.ndarray:
    """Codes of class names, -1 for None.

    Raises:
        DataError: no such class.
    """
    known = {text: code for code, text in enumerate(label.classes)}
    for row, text in enumerate(texts):
        if text is not None and text not in known:
            raise DataError(
                f"Label {label.name!r}, row {row}: {text!r} is no class that was trained on.",
                hint=f"Known: {', '.join(label.classes[:20])}.",
            )
    return np.array([-1 if text is None else known[text] for text in texts], dtype=np.int64)


def decode_labels(labels: np.ndarray, label: Label) -> np.ndarray:
    """Values as they came: numbers, flags or texts."""
    if not label.classes:
        return labels
    if label.source in ("Boolean", "bool"):
        return np.array([label.classes[c].lower() == "true" for c in labels])
    if label.source and label.source.lower().startswith(("int", "uint", "float")):
        values = np.array([float(text) for text in label.classes])
        return values[labels].astype(np.float64 if label.source.lower().startswith("float") else np.int64)
    return np.array(label.classes)[labels]
