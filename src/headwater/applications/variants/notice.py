"""The sentence that stands on every output of this application."""

from __future__ import annotations

__all__ = ["NOTICE"]

NOTICE = "Research use only, not for diagnosis."
