"""A latent map as SVG: points that are light in the file, as plain colours that any viewer shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from headwater.applications.variants.colours import hexes, sequential
from headwater.applications.variants.notice import NOTICE
from headwater.evaluation.markup import Markup, tag
from headwater.evaluation.svg import ticks

if TYPE_CHECKING:
    from headwater.applications.variants.latent_map import LatentMap

__all__ = ["inside", "short", "whole"]

_LEVELS = 12
_WIDTH, _HEIGHT = 640.0, 460.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 96.0, 62.0, 40.0
# Plain colours, not variables: many viewers of SVG files know no CSS variables.
_STYLE = """
text { font-family: system-ui, sans-serif; font-size: 10px; fill: #5a646c; }
.title { font-size: 13px; font-weight: 600; fill: #1d2327; } .target { font-weight: 600; fill: #1d2327; }
.middle { text-anchor: middle; } .end { text-anchor: end; } .grid { stroke: #e2e5e7; }
.frame { fill: none; stroke: #c9ced2; } .cross { fill: none; stroke: #1d2327; stroke-width: 1.3; }
.ring { fill: none; stroke: #1d2327; stroke-width: 2; } .halo { fill: none; stroke: #ffffff; stroke-width: 4.5; }
"""


def inside(map_: LatentMap) -> Markup:
    """The picture for a page that brings its own styles."""
    label = f"{map_.title}: {map_.note}"
    return tag("svg", *_content(map_), role="img", aria_label=label, class_="latent", **_size(_HEIGHT))


def whole(map_: LatentMap) -> Markup:
    """A file that stands by itself."""
    paper = tag("rect", width=_WIDTH, height=_HEIGHT + 16, fill="#ffffff")
    notice = tag("text", NOTICE, x=12, y=_HEIGHT + 6)
    content = [tag("title", map_.title), tag("style", Markup(_STYLE)), paper, *_content(map_), notice]
    return tag("svg", *content, xmlns="http://www.w3.org/2000/svg", role="img", **_size(_HEIGHT + 16))


def _places(map_: LatentMap, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    (low, high) = _frame(map_)
    shape = np.array([_WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM])
    along = (points - low) / (high - low)
    along[:, 1] = 1 - along[:, 1]
    return np.array([_LEFT, _TOP]) + along * shape


def _frame(map_: LatentMap) -> tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]:
    every = np.concatenate([map_.natural, map_.sampled, map_.target[None]])
    low, high = every.min(0), every.max(0)
    room = np.where(high > low, 0.04 * (high - low), 0.5)
    return low - room, high + room


def _content(map_: LatentMap) -> list[Markup]:
    low, high = map_.reach()
    found = [tag("text", map_.title, x=12, y=18, class_="title"), tag("text", map_.note, x=12, y=34), *_axes(map_)]
    level = np.clip(((map_.identity - low) / (high - low) * _LEVELS).astype(np.int64), 0, _LEVELS - 1)
    colours, places = hexes(sequential((np.arange(_LEVELS) + 0.5) / _LEVELS)), _places(map_, map_.natural)
    for i, colour in enumerate(colours):  # the most similar last, so on top
        d = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places[level == i])
        if d:
            look = {"stroke": colour, "stroke-width": "4.4", "stroke-linecap": "round", "stroke-opacity": "0.8"}
            found.append(tag("path", d=d, fill="none", **look))
    crosses = "".join(f"M{x - 3:.1f} {y - 3:.1f}l6 6m0 -6l-6 6" for x, y in _places(map_, map_.sampled))
    if crosses:
        found.append(tag("path", d=crosses, class_="cross"))
    ((x, y),) = _places(map_, map_.target[None]).tolist()
    found += [tag("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="6.5", class_=kind) for kind in ("halo", "ring")]
    return [*found, *_key(map_), *_bar(map_, low, high, colours)]


def _axes(map_: LatentMap) -> list[Markup]:
    (low, high), right, bottom = _frame(map_), _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    found = []
    for value in ticks(float(low[0]), float(high[0])):
        x = f"{_places(map_, np.array([[value, low[1]]]))[0, 0]:.1f}"
        found.append(tag("line", x1=x, x2=x, y1=_TOP, y2=bottom, class_="grid"))
        found.append(tag("text", f"{value:g}", x=x, y=bottom + 14, class_="middle"))
    for value in ticks(float(low[1]), float(high[1])):
        y = f"{_places(map_, np.array([[low[0], value]]))[0, 1]:.1f}"
        found.append(tag("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="grid"))
        found.append(tag("text", f"{value:g}", x=_LEFT - 6, y=y, dy="0.32em", class_="end"))
    middle = (_TOP + bottom) / 2
    turned = {"transform": f"translate(12 {middle:g}) rotate(-90)"}
    found.append(tag("text", map_.axis(0), x=(_LEFT + right) / 2, y=_HEIGHT - 8, class_="middle"))
    found.append(tag("text", map_.axis(1), class_="middle", **turned))
    found.append(tag("rect", x=_LEFT, y=_TOP, width=right - _LEFT, height=bottom - _TOP, class_="frame"))
    return found


def _key(map_: LatentMap) -> list[Markup]:
    found = [
        tag("circle", cx=_LEFT + 6, cy=49, r=5, class_="ring"),
        tag("text", short(map_.name), x=_LEFT + 17, y=52.5, class_="target"),
    ]
    if len(map_.sampled):
        x = _LEFT + 17 + 7 * len(short(map_.name)) + 16
        found.append(tag("path", d=f"M{x:g} 46l6 6m0 -6l-6 6", class_="cross"))
        found.append(tag("text", f"sampled ({len(map_.sampled)})", x=x + 11, y=52.5))
    return found


def _bar(map_: LatentMap, low: float, high: float, colours: list[str]) -> list[Markup]:
    x, each = _WIDTH - _RIGHT + 16, (_HEIGHT - _TOP - _BOTTOM) / _LEVELS
    found = []
    for i, colour in enumerate(colours):
        y = _HEIGHT - _BOTTOM - (i + 1) * each
        found.append(tag("rect", x=x, y=f"{y:.1f}", width=12, height=f"{each + 0.3:.1f}", fill=colour))
    for value in ticks(low, high):
        y = _HEIGHT - _BOTTOM - (value - low) / (high - low) * _LEVELS * each
        found.append(tag("text", f"{value:.0%}", x=x + 17, y=f"{y:.1f}", dy="0.32em"))
    turned = {"transform": f"translate({_WIDTH - 14:g} {(_TOP + _HEIGHT - _BOTTOM) / 2:g}) rotate(-90)"}
    return [*found, tag("text", "identity to the target", class_="middle", **turned)]


def _size(height: float) -> dict[str, str]:
    return {"width": f"{_WIDTH:g}", "height": f"{height:g}", "viewBox": f"0 0 {_WIDTH:g} {height:g}"}


def short(name: str) -> str:
    """A name that fits a legend."""
    return name if len(name) <= 30 else name[:29] + "…"
