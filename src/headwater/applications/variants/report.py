"""One HTML file on a protein's variant scores: what they come from, how far to trust them; no script, no network."""

from __future__ import annotations

from pathlib import Path

from headwater.applications.variants import report_charts as charts
from headwater.applications.variants import report_tables as tables
from headwater.applications.variants.clean import clean
from headwater.applications.variants.notice import NOTICE
from headwater.applications.variants.report_content import ReportContent
from headwater.evaluation.markup import Markup, tag
from headwater.evaluation.page import page
from headwater.runs.files import write_atomic

__all__ = ["ReportContent", "report_page", "write_report"]


def write_report(path: Path | str, content: ReportContent) -> Path:
    """Write a report to one self-contained file.

    Everything that comes from data and names is escaped; pictures are inline; the file's own policy forbids scripts
    and any address outside it.

    Args:
        path: The HTML file; replaced as a whole.
        content: What it says.

    Raises:
        ResourceError: the file cannot be written.
    """
    target = Path(path)
    write_atomic(target, report_page(content).encode())
    return target


def report_page(content: ReportContent) -> str:
    """The report as text."""
    title = content.title or f"Variant effects: {content.alignment.target}"
    header = [tag("p", NOTICE, class_="notice", role="note"), tag("h1", title)]
    style = ("headwater.applications.variants", "report.css")
    return clean(page(title, header, _sections(content), style=style, note=NOTICE))


def _sections(content: ReportContent) -> list[Markup]:
    found = [_warnings(content.warnings)] if content.warnings else []
    found.append(tables.alignment(content.alignment, content.counting_share))
    if content.members:
        found.append(tables.members(content.members))
    if content.agreements:
        found.append(tables.agreements(content.agreements))
    if content.heat_map is not None:
        found += [charts.heat(content.heat_map), tables.positions(content.heat_map)]
    if content.spread is not None:
        found.append(charts.spread(content.spread))
    if content.correlation is not None:
        found.append(tables.correlations(*content.correlation))
    if content.latent_map is not None:
        found.append(charts.latent(content.latent_map))
    if content.samples:
        found.append(tables.samples(content.samples))
    if content.statuses:
        found.append(tables.statuses(content))
    if content.recipe:
        found.append(tag("section", tag("h2", "How this was made"), tables.facts(content.recipe)))
    return found


def _warnings(warnings: tuple[str, ...]) -> Markup:
    items = (tag("li", warning) for warning in warnings)
    return tag("section", tag("h2", "Warnings"), tag("ul", *items), class_="warnings")
