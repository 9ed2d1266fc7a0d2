"""HTML and SVG from nested calls; every string is escaped unless it is markup already."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

__all__ = ["Markup", "embedded_png", "tag", "text"]

_VOID = frozenset({"meta", "img", "br", "path", "line", "rect", "image", "circle"})


class Markup(str):
    """Text that is markup: made by :func:`tag`, never from data."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Anything as text, escaped.

    >>> text("<script>")
    '&lt;script&gt;'
    """
    return value if isinstance(value, Markup) else Markup(html.escape(str(value), quote=True))


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element. Attributes: ``class_`` is ``class``, ``_`` becomes ``-``, None leaves one out.

    >>> tag("p", "a < b", class_="note")
    '<p class="note">a &lt; b</p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}/>")
    return Markup(f"<{name}{written}>{''.join(text(child) for child in children)}</{name}>")


def embedded_png(picture: Any) -> str:
    """A Pillow picture as a ``data:`` address."""
    out = io.BytesIO()
    picture.save(out, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
