"""A heat map as SVG: cells that carry their variant and score, as plain colours that any viewer shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from headwater.applications.variants.colours import diverging, hexes
from headwater.applications.variants.heat_grid import CELL, HEAD, HEIGHT, LEFT, Band, bands_of, rows_of, width_of
from headwater.applications.variants.notice import NOTICE
from headwater.evaluation.markup import Markup, tag

if TYPE_CHECKING:
    from headwater.applications.variants.heat_map import HeatMap

__all__ = ["has_tips", "parts", "whole"]

_ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
_MOST_TIPS = 16_000  # cells that carry their name and score; in longer proteins cells of a colour are one path
_LEVELS = 40
_BAR = 150.0
_HATCH, _HATCH_LINE = "#d5d9dc", "#8f989f"
# Plain colours, not variables: many viewers of SVG files know no CSS variables.
_STYLE = """
text { font-family: system-ui, sans-serif; font-size: 10px; fill: #5a646c; }
.title { font-size: 13px; font-weight: 600; fill: #1d2327; } .residue { font-size: 9px; fill: #1d2327; }
.middle { text-anchor: middle; } .end { text-anchor: end; } .jump { stroke: #8f989f; stroke-dasharray: 2 2; }
"""


def has_tips(heat: HeatMap) -> bool:
    """Whether cells say their variant and score under the pointer; too many would make the file heavy."""
    return len(heat.positions) * 20 <= _MOST_TIPS


def parts(heat: HeatMap) -> list[Markup]:
    """The legend and each row of columns as pictures of their own."""
    return [_legend(heat), *(_band(heat, band) for band in bands_of(heat.positions))]


def whole(heat: HeatMap) -> Markup:
    """One file of all parts that stands by itself."""
    drawn, width = parts(heat), width_of(heat.positions)
    tops = [0.0, *(HEAD + HEIGHT * i for i in range(len(drawn)))]
    placed = [Markup(part.replace("<svg ", f'<svg y="{y:g}" ', 1)) for part, y in zip(drawn, tops, strict=False)]
    notice = tag("text", NOTICE, x=12, y=f"{tops[-1] + 10:g}")
    paper = tag("rect", width=f"{width:g}", height=f"{tops[-1] + 20:g}", fill="#ffffff")
    content = [tag("title", heat.title), tag("style", Markup(_STYLE)), paper, *placed, notice]
    size = {"width": f"{width:g}", "height": f"{tops[-1] + 20:g}", "viewBox": f"0 0 {width:g} {tops[-1] + 20:g}"}
    return tag("svg", *content, xmlns="http://www.w3.org/2000/svg", role="img", **size)


def _legend(heat: HeatMap) -> Markup:
    width, steps = width_of(heat.positions), 50
    colours = hexes(diverging(np.linspace(-1, 1, steps)))
    wide = _BAR / steps
    bar = [
        tag("rect", x=f"{LEFT + i * wide:g}", y=28, width=f"{wide + 0.3:g}", height=10, fill=colour)
        for i, colour in enumerate(colours)
    ]
    labels = [
        tag("text", f"{value:.3g}", x=f"{LEFT + _BAR * i / 4:g}", y=50, class_="middle")
        for i, value in enumerate(heat.legend_ticks())
    ]
    x = LEFT + _BAR + 22
    stripes = tag(
        "pattern",
        tag("rect", width=4, height=4, fill=_HATCH),
        tag("path", d="M0 4L4 0", stroke=_HATCH_LINE, stroke_width="0.9"),
        id="not-scored", width=4, height=4, patternUnits="userSpaceOnUse",
    )  # fmt: skip
    keys = [
        tag("text", heat.meaning(), x=x, y=37),
        tag("rect", x=x, y=44, width=9, height=9, fill="#f6f3ee", stroke="#c9ced2"),
        tag("circle", cx=x + 4.5, cy=48.5, r="1.9", fill="#1d2327"),
        tag("text", "wild type", x=x + 14, y=52),
        tag("rect", x=x + 74, y=44, width=9, height=9, fill="url(#not-scored)"),
        tag("text", "not scored", x=x + 88, y=52),
        tag("path", d=f"M{x + 158:g} 43v11", class_="jump"),
        tag("text", "positions left out", x=x + 164, y=52),
    ]
    title = tag("text", heat.title, x=12, y=16, class_="title")
    return _picture(width, HEAD, tag("defs", stripes), title, *bar, *labels, *keys, label=f"{heat.title}: legend")


def _band(heat: HeatMap, band: Band) -> Markup:
    tops, groups, bottom = rows_of()
    first, end = band.columns
    found = [tag("text", name, x=LEFT - 24, y=f"{y:g}", dy="0.33em", class_="end") for name, y in groups]
    found += [
        tag("text", residue, x=LEFT - 10, y=f"{top + CELL / 2:g}", dy="0.34em", class_="residue middle")
        for residue, top in tops.items()
    ]
    found.append(tag("text", "mean", x=LEFT - 5, y=f"{bottom + 4 + CELL / 2:g}", dy="0.33em", class_="end"))
    for x, residue in zip(band.x, heat.wild_type[first:end], strict=True):
        found.append(tag("text", residue, x=f"{x + CELL / 2:g}", y=11, class_="residue middle"))
    for x, number in band.ticks:
        found.append(tag("text", number, x=f"{x:g}", y=f"{bottom + CELL + 16:g}", class_="middle"))
    found.append(_cells(heat, band))
    for x, low, high in band.jumps:
        said = f"{low} is" if low == high else f"{low} to {high} are"
        found.append(Markup(f'<path d="M{x:g} 4V{bottom + CELL + 4:g}" class="jump">{_tip(said + " left out")}</path>'))
    label = f"{heat.title}: positions {heat.positions[first]} to {heat.positions[end - 1]}"
    return _picture(width_of(heat.positions), HEIGHT, *found, label=label)


def _cells(heat: HeatMap, band: Band) -> Markup:
    tops, _, bottom = rows_of()
    (first, end), own, shown = band.columns, heat.own(), heat.shown()
    rows = [*((i, tops[residue], residue) for i, residue in enumerate(_ALPHABET)), (20, bottom + 4, "mean")]
    table = np.concatenate([shown, np.clip(heat.means() / heat.limit, -1, 1)[:, None]], axis=1)[first:end]
    scores = np.concatenate([heat.scores, heat.means()[:, None]], axis=1)[first:end]
    levels = np.where(np.isnan(table), 0.0, np.round(table * _LEVELS) / _LEVELS)
    hues = hexes(diverging(levels.ravel()))
    holes = np.isnan(table).ravel()
    fills = ["url(#not-scored)" if hole else hue for hue, hole in zip(hues, holes, strict=True)]
    merged: dict[str, list[str]] = {}
    written: list[str] = []
    dots: list[str] = []
    for j, x in enumerate(band.x):
        name = f"{heat.wild_type[first + j]}{heat.positions[first + j]}"
        for i, y, residue in rows:
            wild = i < 20 and bool(own[first + j, i])
            if wild:
                dots.append(f"M{x + CELL / 2:g} {y + CELL / 2:g}h0")
            if not has_tips(heat):
                merged.setdefault(fills[21 * j + i], []).append(f"M{x:g} {y:g}h12v12h-12z")
                continue
            value = "wild type" if wild else "not scored" if math.isnan(scores[j, i]) else f"{scores[j, i]:+.2f}"
            said = f"{name} {value}" if wild else f"{name} mean {value}" if i == 20 else f"{name}{residue} {value}"
            written.append(f'<path d="M{x:g} {y:g}h12v12h-12z" fill="{fills[21 * j + i]}">{_tip(said)}</path>')
    written += [f'<path d="{"".join(d)}" fill="{fill}"/>' for fill, d in merged.items()]
    look = 'stroke="#1d2327" stroke-width="3.8" stroke-linecap="round" fill="none" pointer-events="none"'
    marks = f'<path d="{"".join(dots)}" {look}/>'
    return Markup("".join(written) + (marks if dots else ""))


def _tip(said: str) -> Markup:
    return tag("title", said)


def _picture(width: float, height: float, *content: Markup, label: str) -> Markup:
    size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
    return tag("svg", *content, role="img", aria_label=label, class_="heat", **size)
