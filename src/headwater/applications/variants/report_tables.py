"""Sections of a report that are tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from headwater.applications.variants.colours import hexes, sequential
from headwater.applications.variants.heat_map import HeatMap
from headwater.applications.variants.report_content import (
    Agreement,
    AlignmentFacts,
    Estimate,
    MemberFacts,
    ReportContent,
    SampledSequence,
)
from headwater.applications.variants.trust import per_position, trust
from headwater.evaluation.markup import Markup, tag

__all__ = ["agreements", "alignment", "correlations", "facts", "members", "positions", "samples", "statuses"]

_POSITIONS, _MOST_SAMPLES, _MOST_REASONS = 10, 50, 30
_LINE = 60
_NAMES = {"eve": "EVE", "evcouplings": "EVcouplings"}


def table(
    head: Sequence[object], rows: Iterable[Sequence[object]], *, right: Sequence[int] = (), kind: str = ""
) -> Markup:
    """A table; columns whose number is in ``right`` are aligned right; rows may hold cells that are markup."""

    def cell(name: str, i: int, value: object) -> Markup:
        return tag(name, value, class_="number" if i in right else None)

    body = [tag("tr", *(cell("td", i, value) for i, value in enumerate(row))) for row in rows]
    top = tag("thead", tag("tr", *(cell("th", i, value) for i, value in enumerate(head))))
    return tag("div", tag("table", top, tag("tbody", *body), class_=kind or None), class_="wide")


def facts(pairs: Mapping[str, object]) -> Markup:
    """Keys and values, two columns."""
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", value)) for key, value in pairs.items()]
    return tag("table", tag("tbody", *rows), class_="facts")


def _counts(counts: Mapping[str, int]) -> Markup:
    named = sorted(counts.items(), key=lambda item: -item[1])
    items = [tag("li", tag("b", f"{count:,}"), " ", reason) for reason, count in named[:_MOST_REASONS]]
    if len(named) > _MOST_REASONS:
        rest = sum(count for _, count in named[_MOST_REASONS:])
        items.append(tag("li", tag("b", f"{rest:,}"), f" for {len(named) - _MOST_REASONS} other reasons"))
    return tag("ul", *items, class_="plain")


def alignment(found: AlignmentFacts, counting_share: float | None) -> Markup:
    """What was learnt from, what was dropped, and how far that carries."""
    judged = trust(found.neff, found.columns, counting_share)
    last = found.first + found.length - 1
    weighting = _NAMES.get(found.convention, found.convention)
    rows: dict[str, object] = {
        "target": f"{found.target}, residues {found.first:,} to {last:,}",
        "modelled positions": f"{found.columns:,} of {found.length:,}",
        "sequences kept": f"{found.sequences:,}",
        "effective sequences": f"{found.neff:,.1f} (weights as in {weighting}, θ = {found.theta:g})",
        "depth": f"{per_position(found.neff, found.columns)} effective sequences per position",
    }
    if found.source:
        rows = {"alignment": found.source, **rows}
    gone = {reason: count for reason, count in found.dropped.items() if count}
    rows["dropped"] = _counts(gone) if gone else "nothing"
    badge = tag(
        "span",
        judged.level,
        class_=f"badge {'bad' if judged.level == 'shallow' else 'good' if judged.level == 'deep' else ''}".strip(),
    )
    return tag(
        "section",
        tag("h2", "Alignment ", badge),
        tag("p", judged.words, class_=f"trust {judged.level}"),
        facts(rows),
    )


def members(found: Sequence[MemberFacts]) -> Markup:
    """The ensemble: who is in it, with what share, and how well each predicts held-out sequences."""
    rows = []
    for member in found:
        sign = {"exact": "", "lower bound": "≥ ", "estimate": "≈ "}[member.held_out_kind]
        error = "" if member.stderr is None else f" ± {member.stderr:.4f}"
        rows.append(
            (
                tag("span", member.name, tag("small", member.note) if member.note else ""),
                member.kind,
                tag("span", f"{member.share:.0%}", tag("span", class_="meter", style=f"--share:{member.share:.3f}")),
                "-" if member.held_out is None else f"{sign}{member.held_out:.4f}{error}",
                "-" if member.steps is None else f"{member.steps:,}",
                "-" if member.minutes is None else f"{member.minutes:.1f}",
            )
        )
    words = (
        "Held out: mean log-probability of sequences not trained on, nats per residue, with its standard error; higher "
        "is better. ≥: a lower bound. ≈: an estimate. Shares follow from the alignment's depth, never from an assay."
    )
    head = ("member", "kind", "share", "held out, nats per residue", "steps", "minutes")
    return tag("section", tag("h2", "Ensemble"), table(head, rows, right=(2, 3, 4, 5)), tag("p", words, class_="quiet"))


def positions(heat: HeatMap) -> Markup:
    """The positions whose variants score highest and lowest on average."""
    means, counts = heat.means(), heat.counts()
    order = [int(i) for i in np.argsort(means, kind="stable") if not np.isnan(means[i])]
    few = min(_POSITIONS, len(order) // 2)

    def side(title: str, chosen: Sequence[int]) -> Markup:
        rows = [(f"{heat.wild_type[i]}{heat.positions[i]}", f"{means[i]:+.2f}", f"{counts[i]}") for i in chosen]
        return tag(
            "div",
            tag("h3", title),
            table(("position", f"mean score, {heat.unit}", "variants scored"), rows, right=(1, 2)),
        )

    if not few:
        return Markup("")
    both = tag("div", side("Least tolerant", order[:few]), side("Most tolerant", order[::-1][:few]), class_="beside")
    return tag("section", tag("h2", "Positions"), both)


def _estimate(found: Estimate) -> str:
    if math.isnan(found.value):
        return "-"
    if found.low is None or found.high is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _gain(found: Estimate, counting: Estimate) -> object:
    gain = found.value - counting.value
    return "-" if math.isnan(gain) else tag("span", f"{gain:+.3f}", class_="bad" if gain < 0 else "good")


def agreements(found: Sequence[Agreement]) -> Markup:
    """Agreement with assays and labels; counting stands beside every figure."""
    rows, left_out = [], []
    for one in found:
        for i, figure in enumerate(one.figures):
            first = (one.name, f"{one.measure}, n = {one.n:,}") if not i else ("", "")
            rows.append((*first, figure.name, _estimate(figure), _estimate(one.counting), _gain(figure, one.counting)))
        if not one.figures:
            rows.append((one.name, f"{one.measure}, n = {one.n:,}", "-", "-", _estimate(one.counting), "-"))
        gone = {reason: count for reason, count in one.left_out.items() if count}
        if gone:
            left_out.append(tag("div", tag("h3", f"Not compared in {one.name}"), _counts(gone)))
    kinds = "; ".join(dict.fromkeys(one.interval for one in found if one.interval))
    words = f"In brackets: {kinds}. " if kinds else ""
    words += "Counting: log-frequencies of residues column by column, on the same variants."
    head = ("data", "measure", "scores of", "agreement", "counting", "gain over counting")
    return tag(
        "section",
        tag("h2", "Agreement with measurements"),
        table(head, rows, right=(3, 4, 5)),
        tag("p", words, class_="quiet"),
        *left_out,
    )


def correlations(names: Sequence[str], matrix: np.ndarray) -> Markup:
    """Spearman correlations between members' scores, coloured by size."""
    rows = []
    shades = hexes(sequential(np.clip(np.where(np.isnan(matrix), 0.0, matrix), 0.0, 1.0).ravel()))
    for i, name in enumerate(names):
        cells = [
            tag("td", "-" if np.isnan(value) else f"{value:.2f}", class_="shade number",
                style=f"--shade:{shades[i * len(names) + j]}")
            for j, value in enumerate(matrix[i])
        ]  # fmt: skip
        rows.append(tag("tr", tag("th", f"{i + 1}  {name}", scope="row"), *cells))
    head = tag("tr", tag("td"), *(tag("th", i + 1, class_="number", title=name) for i, name in enumerate(names)))
    body = tag("table", tag("thead", head), tag("tbody", *rows), class_="matrix")
    words = (
        "Spearman correlation between members' scores. Where they differ widely on a variant its score is uncertain."
    )
    return tag(
        "section", tag("h2", "Between members"), tag("div", body, class_="wide"), tag("p", words, class_="quiet")
    )


def samples(found: Sequence[SampledSequence]) -> Markup:
    """Sequences drawn from the model, with identity to the nearest natural one."""
    scored = any(one.score is not None for one in found)
    near = any(one.target_identity is not None for one in found)
    head = [
        "",
        "sequence",
        "nearest natural",
        "identity",
        *(["to target"] if near else []),
        *(["score"] if scored else []),
    ]
    rows = []
    for i, one in enumerate(found[:_MOST_SAMPLES]):
        lines = [one.sequence[k : k + _LINE] for k in range(0, len(one.sequence), _LINE)]
        broken = [part for line in lines for part in (line, tag("br"))][:-1]
        row: list[object] = [i + 1, tag("code", *broken), one.nearest, f"{one.nearest_identity:.1%}"]
        row += ["-" if one.target_identity is None else f"{one.target_identity:.1%}"] if near else []
        row += ["-" if one.score is None else f"{one.score:.2f}"] if scored else []
        rows.append(row)
    values = np.array([one.nearest_identity for one in found])
    words = (
        f"Identity to the nearest natural sequence of the alignment: median {np.median(values):.1%}, "
        f"{values.min():.1%} to {values.max():.1%} over {len(found):,} drawn. "
        "Drawn sequences are hypotheses; none was made or tested."
    )
    if len(found) > _MOST_SAMPLES:
        words += f" The first {_MOST_SAMPLES} are shown."
    return tag(
        "section",
        tag("h2", "Sampled sequences"),
        tag("p", words),
        table(head, rows, right=(3, 4, 5), kind="samples"),
    )


def statuses(content: ReportContent) -> Markup:
    """What became of every requested variant."""
    return tag("section", tag("h2", "Requested variants"), _counts(content.statuses))
