"""Characters that no page and no XML file may hold, or that turn text around, made visible."""

from __future__ import annotations

import re

__all__ = ["clean"]

_BAD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Text whose control characters, lone surrogates and marks of direction are replaced by U+FFFD.

    >>> clean("a" + chr(0) + "b" + chr(0x202E)) == "a" + chr(0xFFFD) + "b" + chr(0xFFFD)
    True
    """
    return _BAD.sub("\ufffd", text)
