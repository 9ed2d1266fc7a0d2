"""Sections of a report that are pictures."""

from __future__ import annotations

import math

import numpy as np

from headwater.applications.variants.heat_map import HeatMap
from headwater.applications.variants.heat_svg import has_tips
from headwater.applications.variants.latent_map import LatentMap
from headwater.applications.variants.report_content import Spread
from headwater.applications.variants.report_tables import facts
from headwater.evaluation.markup import Markup, tag
from headwater.evaluation.svg import Chart

__all__ = ["heat", "latent", "spread"]

_BINS, _WIDTH, _HEIGHT = 60, 720, 300


def heat(found: HeatMap) -> Markup:
    """The heat map, a picture per row of columns so that a page may break between them."""
    pictures = [tag("div", part, class_="band") for part in found.parts()]
    words = f"Colours end at {-found.limit:g} and {found.limit:g} {found.unit}; what lies beyond has the end's colour."
    words += " Rest the pointer on a cell for its variant and score." if has_tips(found) else ""
    return tag(
        "section",
        tag("h2", "All single variants"),
        tag("div", *pictures, class_="wide"),
        tag("p", words, class_="quiet"),
        class_="tall",
    )


def spread(found: Spread) -> Markup:
    """A histogram of scores; over it the components of the mixture, each times its weight."""
    scores = found.scores[np.isfinite(found.scores)]
    head = tag("h2", "Distribution of scores")
    if not len(scores):
        return tag("section", head, tag("p", "No variant was scored."))
    low, high = (float(q) for q in np.quantile(scores, [0.001, 0.999]))
    room = 0.04 * (high - low) or 0.5
    edges = np.linspace(low - room, high + room, _BINS + 1)
    wide = float(edges[1] - edges[0])
    heights = np.histogram(scores, edges)[0] / len(scores) / wide
    at = np.linspace(float(edges[0]), float(edges[-1]), 300)
    curves = [
        one.weight * np.exp(-0.5 * ((at - one.mean) / one.sd) ** 2) / (one.sd * math.sqrt(2 * math.pi))
        for one in found.mixture
        if one.sd > 0
    ]
    top = 1.08 * max(float(heights.max()), *(float(curve.max()) for curve in curves), 1e-12)
    names = ("all scores", *(one.name for one in found.mixture if one.sd > 0))
    label = "score, nats: log p(variant) - log p(wild type); higher: better tolerated"
    chart = Chart("density of scores", (float(edges[0]), float(edges[-1])), (0.0, top), label, _WIDTH, _HEIGHT, names)
    if found.uncertain is not None:
        ends = np.clip(np.sort(np.array(found.uncertain)), edges[0], edges[-1])
        chart.bars(ends[:1], np.array([top]), 9, float(ends[1] - ends[0]))
    chart.steps(edges, heights, 0)
    for i, curve in enumerate(curves):
        chart.line(at, curve, 2 - i % 2 if len(curves) == 2 else i + 1)
    picture = tag("div", _legend_order(chart, len(curves)), class_="wide chart")
    outside = len(scores) - int(np.histogram(scores, edges)[0].sum())
    words = f"{len(scores):,} variants"
    words += f"; {outside} beyond the frame" if outside else ""
    words += "; shaded: called uncertain" if found.uncertain is not None else ""
    classes = facts({name: f"{count:,}" for name, count in found.counts.items()}) if found.counts else Markup("")
    return tag("section", head, picture, tag("p", f"{words}.", class_="quiet"), classes)


def _legend_order(chart: Chart, curves: int) -> Markup:
    """The first of two components is orange, the second blue, in the legend as in the picture."""
    drawn = chart.svg()
    if curves != 2:
        return drawn
    swapped = drawn.replace('class="legend s1"', 'class="legend s?"').replace('class="legend s2"', 'class="legend s1"')
    return Markup(swapped.replace('class="legend s?"', 'class="legend s2"'))


def latent(found: LatentMap) -> Markup:
    """The latent map."""
    words = (
        "Each dot is a natural sequence, coloured by its identity to the target; axes are the first two principal "
        "components of the codes' means."
    )
    return tag(
        "section", tag("h2", "Latent map"), tag("div", found.inside(), class_="wide"), tag("p", words, class_="quiet")
    )
