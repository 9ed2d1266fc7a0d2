"""Optional packages, imported when first needed and named with their extra when absent."""

from __future__ import annotations

import importlib
from typing import Any

from headwater.errors import MissingExtraError

__all__ = ["sklearn"]


def sklearn(module: str, purpose: str) -> Any:
    """The module ``sklearn.<module>``.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError:
        raise MissingExtraError("scikit-learn", "report", purpose) from None
