"""The frame of an offline HTML page: its styles inline, a policy that forbids scripts and any address outside it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files

from headwater.evaluation.markup import Markup, tag

__all__ = ["page"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(
    title: str,
    header: Sequence[Markup],
    main: Sequence[Markup],
    *,
    style: tuple[str, str] | None = None,
    note: str = "",
) -> str:
    """A whole page as text.

    Args:
        title: In the head.
        header: Above its sections.
        main: Its sections.
        style: Package and name of a style sheet beside the house's own.
        note: A sentence in the footer.
    """
    sheets = [("headwater.evaluation", "page.css"), *([style] if style else [])]
    css = "".join(files(package).joinpath(name).read_text(encoding="utf-8") for package, name in sheets)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(css)),
    )
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    said = f"Made by Headwater on {made}. {note + ' ' if note else ''}This page needs no network and runs no script."
    body = tag("body", tag("header", *header), tag("main", *main), tag("footer", said))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"
