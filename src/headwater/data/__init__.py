"""People's data: what it is, how it is read, split and encoded. Names are loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headwater.data.codec import Codec
    from headwater.data.dataset import Dataset
    from headwater.data.inspection import Inspection, inspect
    from headwater.data.limits import LIMITS, Limits
    from headwater.data.open import open_dataset
    from headwater.data.readers import READERS
    from headwater.data.schema import Column, Schema

__all__ = [
    "LIMITS",
    "READERS",
    "Codec",
    "Column",
    "Dataset",
    "Inspection",
    "Limits",
    "Schema",
    "inspect",
    "open_dataset",
]

_HOME = {
    "Codec": "codec",
    "Column": "schema",
    "Dataset": "dataset",
    "Inspection": "inspection",
    "LIMITS": "limits",
    "Limits": "limits",
    "READERS": "readers",
    "Schema": "schema",
    "inspect": "inspection",
    "open_dataset": "open",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"headwater.data.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
