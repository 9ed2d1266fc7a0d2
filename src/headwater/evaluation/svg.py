"""Small charts as inline SVG: no script, no font, no library, and colours that follow the page's light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from headwater.evaluation.markup import Markup, tag
from headwater.evaluation.text import figure

__all__ = ["Chart", "ticks"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 26, 34
_MOST_POINTS = 400


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers between two numbers, about ``count`` of them.

    >>> ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low
    if not span > 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f for f in (1.0, 2.0, 5.0, 10.0) if raw <= f * power * 1.26) * power
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass
class Chart:
    """A frame with axes into which lines, steps, points, bars and a picture are put.

    Series have a number: 0 is real data, 1 generated; more for curves.
    """

    title: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_label: str = ""
    width: int = 340
    height: int = 220
    names: Sequence[str] = ()
    categories: Sequence[str] = ()
    _inside: list[Markup] = field(default_factory=list)

    def _x(self, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        low, high = self.x_range
        return _LEFT + (x - low) / ((high - low) or 1.0) * (self.width - _LEFT - _RIGHT)

    def _y(self, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        low, high = self.y_range
        return self.height - _BOTTOM - (y - low) / ((high - low) or 1.0) * (self.height - _TOP - _BOTTOM)

    def _places(self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> list[str]:
        clipped = np.clip(y, self.y_range[0], self.y_range[1])
        return [f"{a:.1f} {b:.1f}" for a, b in zip(self._x(x), self._y(clipped), strict=True)]

    def line(self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], series: int) -> None:
        """Straight lines from point to point; very long ones are thinned."""
        if len(x) > _MOST_POINTS:
            kept = np.linspace(0, len(x) - 1, _MOST_POINTS).astype(int)
            x, y = x[kept], y[kept]
        if len(x):
            self._inside.append(tag("path", d="M" + "L".join(self._places(x, y)), class_=f"line s{series}"))

    def steps(self, edges: Float[np.ndarray, " bins_1"], heights: Float[np.ndarray, " bins"], series: int) -> None:
        """The outline of a histogram, lightly filled."""
        x = np.repeat(edges, 2)
        y = np.concatenate([[0.0], np.repeat(heights, 2), [0.0]])
        self._inside.append(tag("path", d="M" + "L".join(self._places(x, y)), class_=f"line area s{series}"))

    def points(self, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], series: int) -> None:
        """A dot each; those outside the frame are left out."""
        inside = (x >= self.x_range[0]) & (x <= self.x_range[1]) & (y >= self.y_range[0]) & (y <= self.y_range[1])
        if inside.any():
            d = "".join(f"M{place}h0" for place in self._places(x[inside], y[inside]))
            self._inside.append(tag("path", d=d, class_=f"dots s{series}"))

    def bars(self, at: Float[np.ndarray, " n"], heights: Float[np.ndarray, " n"], series: int, wide: float) -> None:
        """Upright bars from zero, ``wide`` in units of x, their left sides at ``at``."""
        left, right, top = self._x(at), self._x(at + wide), self._y(heights)
        floor = float(self._y(np.zeros(1))[0])
        d = "".join(
            f"M{a:.1f} {floor:.1f}V{t:.1f}H{b:.1f}V{floor:.1f}Z" for a, b, t in zip(left, right, top, strict=True)
        )
        self._inside.append(tag("path", d=d, class_=f"bar s{series}"))

    def picture(self, address: str) -> None:
        """A picture that fills the frame."""
        size = {"width": self.width - _LEFT - _RIGHT, "height": self.height - _TOP - _BOTTOM}
        self._inside.append(tag("image", href=address, x=_LEFT, y=_TOP, preserveAspectRatio="none", **size))

    def _axes(self) -> list[Markup]:
        bottom, right = self.height - _BOTTOM, self.width - _RIGHT
        found = [
            tag("text", self.title, x=_LEFT, y=15, class_="title"),
            tag("text", self.x_label, x=(_LEFT + right) / 2, y=self.height - 4, class_="tick middle"),
        ]
        for value in ticks(*self.y_range):
            y = f"{float(self._y(np.array([value]))[0]):.1f}"
            found.append(tag("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="grid"))
            found.append(tag("text", _label(value), x=_LEFT - 5, y=y, class_="tick end", dy="0.32em"))
        if self.categories:
            found += self._category_labels(bottom)
            return found
        for value in ticks(*self.x_range):
            x = f"{float(self._x(np.array([value]))[0]):.1f}"
            found.append(tag("text", _label(value), x=x, y=bottom + 14, class_="tick middle"))
        return found

    def _category_labels(self, bottom: int) -> list[Markup]:
        room = max(2, int((self.width - _LEFT - _RIGHT) / len(self.categories) / 5.6))
        centres = self._x(np.arange(len(self.categories)) + 0.5)
        short = [name if len(name) <= room else name[: room - 1] + "…" for name in self.categories]
        return [
            tag("text", tag("title", name), shown, x=f"{x:.1f}", y=bottom + 14, class_="tick middle")
            for name, shown, x in zip(self.categories, short, centres, strict=True)
        ]

    def _legend(self) -> list[Markup]:
        if not self.names:
            return []
        words = [tag("tspan", name, class_=f"legend s{i}", dx=8 if i else None) for i, name in enumerate(self.names)]
        return [tag("text", *words, x=self.width - _RIGHT, y=15, class_="end")]

    def svg(self) -> Markup:
        """The chart."""
        frame = tag(
            "rect",
            x=_LEFT,
            y=_TOP,
            width=self.width - _LEFT - _RIGHT,
            height=self.height - _TOP - _BOTTOM,
            class_="frame",
        )
        content = [*self._axes(), frame, *self._inside, *self._legend()]
        return tag("svg", *content, viewBox=f"0 0 {self.width} {self.height}", role="img", aria_label=self.title)


def _label(value: float) -> str:
    if value == round(value) and abs(value) < 1e6:
        return f"{value:.0f}"
    if abs(value) >= 1e6 or abs(value) < 1e-3:
        return f"{value:.0e}"
    return figure(value, 3).rstrip("0").rstrip(".")
