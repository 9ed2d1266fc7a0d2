"""The papers that a run stands on: its model's, and those of the figures it was measured by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headwater.evaluation.catalogue import CATALOGUE
from headwater.evaluation.evaluate import FILE, read_evaluation
from headwater.models.base import Paper

if TYPE_CHECKING:
    from headwater.runs.run import Run

__all__ = ["bibtex_entry", "citations", "papers_of", "plain_entry"]

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
}


def plain_entry(paper: Paper) -> str:
    """Authors (year). Title. Address."""
    return f"{paper.authors} ({paper.year}). {paper.title}. {paper.url}"


def bibtex_entry(paper: Paper) -> str:
    """A BibTeX entry, of the type ``article`` for a DOI or a journal and ``misc`` for all else.

    >>> print(bibtex_entry(Paper("Doe2020", "On & On", "Doe, Roe & Poe", 2020, "https://example.org")))
    @misc{Doe2020,
      title = {{On \\& On}},
      author = {Doe and Roe and Poe},
      year = {2020},
      url = {https://example.org}
    }
    """
    authors = " and ".join(part.strip() for part in paper.authors.replace("&", ",").split(",") if part.strip())
    kind = "article" if "doi.org" in paper.url else "misc"
    title = "".join(_ESCAPES.get(c, c) for c in paper.title)
    return "\n".join(
        [
            f"@{kind}{{{paper.key},",
            f"  title = {{{{{title}}}}},",
            f"  author = {{{''.join(_ESCAPES.get(c, c) for c in authors)}}},",
            f"  year = {{{paper.year}}},",
            f"  url = {{{paper.url}}}",
            "}",
        ]
    )


def papers_of(run: Run) -> tuple[Paper, ...]:
    """The model's papers, then those of the figures in the run's evaluation, each once."""
    found = {paper.key: paper for paper in type(run.model).papers}
    if (run.folder.path / FILE).is_file():
        evaluation = read_evaluation(run.folder)
        for known in evaluation.figures:
            about = CATALOGUE.get(known.key)
            for paper in about.papers if about else ():
                found.setdefault(paper.key, paper)
    return tuple(found.values())


def citations(run: Run, *, bibtex: bool = False) -> str:
    """The papers of a run, one per line, or as BibTeX."""
    papers = papers_of(run)
    if bibtex:
        return "\n\n".join(bibtex_entry(paper) for paper in papers)
    return "\n".join(plain_entry(paper) for paper in papers)
