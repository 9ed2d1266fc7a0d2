"""Several charts as one SVG file that stands by itself: fixed colours, no script, no font from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headwater.evaluation.markup import Markup, tag

__all__ = ["svg_file"]

_GAP, _HEAD = 16, 40
# Plain colours, not variables: many viewers of SVG files know no CSS variables.
_STYLE = """
text { font-family: system-ui, sans-serif; font-size: 10px; fill: #5a646c; }
.title { font-size: 12px; font-weight: 600; fill: #1d2327; }
.head { font-size: 14px; font-weight: 600; fill: #1d2327; }
.middle { text-anchor: middle; } .end { text-anchor: end; }
.grid { stroke: #e2e5e7; } .frame { fill: none; stroke: #c9ced2; }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.bar { fill-opacity: 0.8; } .area { fill-opacity: 0.12; }
.dots { fill: none; stroke-width: 2.4; stroke-linecap: round; stroke-opacity: 0.55; }
.line.s0, .dots.s0 { stroke: #8a949c; } .line.s1, .dots.s1 { stroke: #0b6e8a; } .line.s2, .dots.s2 { stroke: #c2571a; }
.line.s0 { stroke-width: 1; } .bar.s0, .area.s0 { fill: #8a949c; } .bar.s1, .area.s1 { fill: #0b6e8a; }
.bar.s2, .area.s2 { fill: #c2571a; } .legend.s0 { fill: #8a949c; } .legend.s1 { fill: #0b6e8a; }
"""


def svg_file(charts: Sequence[Markup], *, title: str, columns: int = 3, width: int = 340, height: int = 220) -> str:
    """Charts of one size in rows of ``columns`` under a title, which is wrapped where it is long."""
    columns = min(columns, len(charts))
    lines = _wrapped(title, columns * width // 7)
    top = _HEAD + 18 * (len(lines) - 1)
    whole = (columns * (width + _GAP) + _GAP, math.ceil(len(charts) / columns) * (height + _GAP) + top)
    placed = [
        tag("svg", chart, x=_GAP + (i % columns) * (width + _GAP), y=top + i // columns * (height + _GAP), width=width,
            height=height)
        for i, chart in enumerate(charts)
    ]  # fmt: skip
    words = [tag("text", line, x=_GAP, y=26 + 18 * i, class_="head") for i, line in enumerate(lines)]
    paper = tag("rect", width=whole[0], height=whole[1], fill="#ffffff")
    size = {"width": whole[0], "height": whole[1], "viewBox": f"0 0 {whole[0]} {whole[1]}"}
    return tag("svg", tag("style", Markup(_STYLE)), paper, *words, *placed, xmlns="http://www.w3.org/2000/svg", **size)


def _wrapped(text: str, room: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
