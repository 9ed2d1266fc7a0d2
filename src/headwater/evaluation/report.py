"""One HTML file: the leaderboard, a card per run, how to read it all; no script, no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.errors import HeadwaterError
from headwater.evaluation.card import card, failed_card
from headwater.evaluation.catalogue import Entry, entry
from headwater.evaluation.compare import compare
from headwater.evaluation.evaluate import read_evaluation
from headwater.evaluation.evaluation import Stamp
from headwater.evaluation.leaderboard import Cell, Leaderboard, Row
from headwater.evaluation.markup import Markup, tag
from headwater.evaluation.page import page
from headwater.evaluation.subject import Rows, choose_rows, take
from headwater.evaluation.text import figure
from headwater.progress import Progress, SilentProgress
from headwater.runs.files import write_atomic

if TYPE_CHECKING:
    from headwater.data.dataset import Dataset
    from headwater.runs.run import Run

__all__ = ["leaderboard_table", "write_report"]

_ROWS = 1000


def write_report(
    path: Path | str,
    runs: Sequence[Run | str | Path],
    *,
    leaderboard: Leaderboard | None = None,
    dataset: Dataset | None = None,
    title: str = "Headwater report",
    device: str = "auto",
    progress: Progress | None = None,
) -> Path:
    """Write the report of some runs to one self-contained file.

    Everything that comes from data, names and settings is escaped; pictures are embedded;
    the file's own policy forbids scripts and any address outside it.

    Args:
        path: The HTML file; replaced as a whole.
        runs: Opened runs or run folders; those that fail are listed with their reason.
        leaderboard: Of these runs; None compares them, which evaluates where that is missing.
        dataset: The data of runs that were trained on data in memory, which they cannot open again.
        title: Heading.
        device: Where runs are opened.
        progress: Who hears how far it is.

    Raises:
        ResourceError: the file cannot be written.
    """
    progress = progress or SilentProgress()
    leaderboard = leaderboard or compare(runs, dataset=dataset, device=device, progress=progress)
    cards, datasets = [], ({} if dataset is None else {dataset.fingerprint: dataset})
    reasons = {row.run: row.reason for row in leaderboard.rows if row.status == "failed"}
    with progress.phase("Writing the report", total=len(runs), unit="runs") as phase:
        for given in runs:
            name = Path(given).name if isinstance(given, str | Path) else given.name
            try:
                cards.append(_card(given, device, datasets, progress))
            except HeadwaterError as error:
                cards.append(failed_card(name, reasons.get(name) or " ".join(str(error).split())))
            phase.advance()
    page = _page(title, leaderboard, cards)
    write_atomic(Path(path), page.encode())
    return Path(path)


def _card(given: Run | str | Path, device: str, datasets: dict[str, Dataset], progress: Progress) -> Markup:
    if isinstance(given, str | Path):
        from headwater.runs.run import Run

        given = Run.load(Path(given), device=device)
    evaluation = read_evaluation(given.folder)
    return card(given, evaluation, _real(given, evaluation.stamp, datasets, progress), progress=progress)


def _real(run: Run, stamp: Stamp, datasets: dict[str, Dataset], progress: Progress) -> Rows | None:
    """Held-out events; None where the data is gone: the figures still stand."""
    try:
        if stamp.data not in datasets:
            datasets[stamp.data] = run.dataset()
        dataset = datasets[stamp.data]
        return take(dataset, choose_rows(dataset, stamp.split, _ROWS, 0))
    except HeadwaterError as error:
        progress.warn(f"{run.name}: no real events in the report: {error.message}")
        return None


def _page(title: str, leaderboard: Leaderboard, cards: list[Markup]) -> str:
    header = [tag("h1", title), tag("p", leaderboard.protocol, class_="quiet")]
    return page(title, header, [_first(leaderboard), *cards, _reading(leaderboard)])


def _first(leaderboard: Leaderboard) -> Markup:
    notes = tag("ul", *(tag("li", note) for note in leaderboard.notes), class_="notes") if leaderboard.notes else ""
    return tag("section", tag("h2", "Leaderboard"), leaderboard_table(leaderboard), notes)


def leaderboard_table(leaderboard: Leaderboard) -> Markup:
    """The leaderboard as a table: best figures bold, those that do not compare marked, floors last."""
    entries = [entry(key) for key in leaderboard.columns]
    head = tag("tr", tag("th", "run"), *map(_head, entries), tag("th", "memorization"))
    rows = [_row(row, entries) for row in leaderboard.rows]
    if leaderboard.floors:
        floors = [
            "" if e.key not in leaderboard.floors else figure(leaderboard.floors[e.key], e.decimals) for e in entries
        ]
        cells = (tag("td", value, class_="number") for value in floors)
        rows.append(tag("tr", tag("td", "real data"), *cells, tag("td"), class_="floor"))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows), class_="leaderboard"), class_="wide")


def _head(about: Entry) -> Markup:
    arrow = {"higher": "↑", "lower": "↓", "half": "→ ½", "one": "→ 1"}[about.better]
    return tag(
        "th", about.short.replace("Frechet", "Fréchet"), " ", tag("span", arrow, class_="quiet"), title=about.title
    )


def _row(row: Row, entries: list[Entry]) -> Markup:
    if row.status == "failed":
        reason = tag("td", "failed, see below", colspan=len(entries) + 1, class_="warning")
        return tag("tr", tag("td", row.run), reason)
    name = tag("td", tag("a", row.run, href=f"#run-{row.run}"), tag("small", f"{row.model}, {row.family}"))
    verdict = tag("td", row.memorization, class_="bad" if row.memorization in ("copies", "too close") else None)
    return tag("tr", name, *(_cell(row.cells.get(e.key), e) for e in entries), verdict)


def _cell(cell: Cell | None, about: Entry) -> Markup:
    if cell is None:
        return tag("td", "-", class_="number quiet")
    value = "-∞" if cell.value is None else figure(cell.value, about.decimals)
    mark = {"lower bound": "≥ ", "estimate": "≈ "}.get(cell.kind, "") if about.key == "log_likelihood" else ""
    error = tag("small", f"± {figure(cell.stderr, about.decimals)}") if cell.stderr else ""
    if cell.outside:
        return tag("td", mark, value, " †", class_="number outside", title=f"not comparable: {cell.outside}")
    return tag("td", tag("b", mark, value) if cell.best else f"{mark}{value}", error, class_="number")


def _reading(leaderboard: Leaderboard) -> Markup:
    items = []
    for key in leaderboard.columns:
        about = entry(key)
        items += [tag("dt", about.title), tag("dd", about.meaning)]
    words = (
        "Bold: the best of its column among rows that compare. †: measured under another protocol (the notes say "
        "which), so not ranked. ≥: a lower bound on the log-likelihood. ≈: an estimate. Real data: the same figure "
        "with as many training events in place of generated ones; a perfect generator cannot be expected to do better."
    )
    return tag("section", tag("h2", "How to read the scores"), tag("p", words), tag("dl", *items))
