"""A run's part of the report: what it is, its figures, curves, samples, reconstructions, warnings, papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from headwater.config import to_toml
from headwater.errors import HeadwaterError
from headwater.evaluation.catalogue import entry
from headwater.evaluation.cite import papers_of, plain_entry
from headwater.evaluation.evaluation import Evaluation
from headwater.evaluation.gallery import interpolations, reconstructions, samples
from headwater.evaluation.likelihood import Likelihood
from headwater.evaluation.markup import Markup, tag
from headwater.evaluation.memorization import Memorization
from headwater.evaluation.plots import closeness, curves
from headwater.evaluation.subject import Rows, draw
from headwater.evaluation.text import figure
from headwater.progress import Progress

if TYPE_CHECKING:
    from headwater.runs.run import Run

__all__ = ["card", "failed_card"]

_SEED = 0
_ALONE = 64
_BESIDE = 1000
_VERDICTS = {"copies": "bad", "too close": "bad", "none found": "good"}


def failed_card(name: str, reason: str) -> Markup:
    """A run that could not be opened, evaluated or sampled."""
    return tag("section", tag("h2", name, " ", _badge("failed", "bad")), tag("p", reason, class_="warning"))


def _badge(words: str, kind: str = "") -> Markup:
    return tag("span", words, class_=f"badge {kind}".strip())


def card(run: Run, evaluation: Evaluation, real: Rows | None, *, progress: Progress) -> Markup:
    """Everything about one run.

    Args:
        run: The opened run.
        evaluation: Its figures.
        real: Held-out events to put beside its own; None where the data is gone.
        progress: Hears of the sampling.
    """
    badges = [_badge(evaluation.model), _badge(evaluation.family)]
    if evaluation.memorization:
        verdict = evaluation.memorization.verdict
        badges.append(_badge(f"memorization: {verdict}", _VERDICTS[verdict]))
    stamp = evaluation.stamp
    about = (
        f"{evaluation.parameters:,} parameters, step {stamp.step}, "
        f"{'averaged weights' if stamp.weights == 'ema' else 'last weights'}, seed {run.settings.seed}"
        if evaluation.parameters
        else f"fitted in closed form, seed {run.settings.seed}"
    )
    parts: list[Markup] = [tag("h2", evaluation.run, " ", *badges), tag("p", about, class_="quiet")]
    parts += [tag("p", warning, class_="warning") for warning in evaluation.warnings]
    parts.append(_figures(evaluation))
    n = _ALONE if real is None else min(len(real), _BESIDE)
    labels = run.labels(None, n, seed=_SEED) if real is None or real.labels is None else real.labels[:n]
    fake, _ = draw(run, n, labels, seed=_SEED, progress=progress)
    groups: list[tuple[str, Callable[[], list[Markup]]]] = [
        ("Samples", lambda: samples(run, fake, real)),
        ("Reconstructions", lambda: [] if real is None else reconstructions(run, real)),
        ("Interpolations", lambda: [] if real is None else interpolations(run, real)),
        ("Training", lambda: curves(run.folder.read_metrics())),
        ("Memorization", lambda: _memory(evaluation.memorization)),
    ]
    parts += [_group(title, make) for title, make in groups]
    parts += [_settings(run), _papers(run)]
    return tag("section", *parts, id=f"run-{evaluation.run}")


def _group(title: str, make: Callable[[], list[Markup]]) -> Markup:
    try:
        content = make()
    except HeadwaterError as error:
        content = [tag("p", " ".join(str(error).split()), class_="warning")]
    return Markup("".join([tag("h3", title), tag("div", *content, class_="charts")])) if content else Markup()


def _figures(evaluation: Evaluation) -> Markup:
    heads = ("", "this run", "real data", "")
    rows = [tag("tr", *(tag("th", head) for head in heads))]
    if evaluation.likelihood:
        rows += _likelihood(evaluation.likelihood)
    for found in evaluation.figures:
        about = entry(found.key)
        value = _with_error(found.value, found.stderr, about.decimals)
        floor = "" if found.floor is None else _with_error(found.floor, found.floor_stderr, about.decimals)
        rows.append(_line(about.title, value, floor, found.note))
    rows += [_line(entry(f.key).title, "not measured", "", f.reason) for f in evaluation.failures]
    return tag("div", tag("table", *rows, class_="figures"), class_="wide")


def _line(title: str, value: str, floor: str, note: str) -> Markup:
    number = {"class_": "number"}
    return tag(
        "tr", tag("td", title), tag("td", value, **number), tag("td", floor, **number), tag("td", note, class_="quiet")
    )


def _with_error(value: float, error: float | None, decimals: int) -> str:
    return figure(value, decimals) if error is None else f"{figure(value, decimals)} ± {figure(error, decimals)}"


def _likelihood(found: Likelihood) -> list[Markup]:
    given = "log p(x | label)" if found.conditional else "log p(x)"
    protocol = ", ".join(
        f"{key.replace('_', ' ')} {value:.3g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
        for key, value in found.protocol.items()
    )
    note = f"{found.kind}; {given}, nats per event, {found.n} events" + (f"; {protocol}" if protocol else "")
    if found.mean is None or found.bits_per_dim is None:
        return [_line("Log-likelihood", "-∞", "", f"{found.impossible} of {found.n} events have probability zero")]
    return [
        _line("Log-likelihood", _with_error(found.mean, found.stderr, 3), "", note),
        _line(
            "Bits per dimension",
            _with_error(found.bits_per_dim, found.bits_per_dim_stderr, 3),
            "",
            f"{found.dims} raw elements",
        ),
    ]


def _memory(found: Memorization | None) -> list[Markup]:
    if found is None:
        return []
    low, high = found.close_interval
    words = (
        f"{found.copies} of {found.n} generated events equal a training event (held-out events: "
        f"{found.held_out_copies} of {found.held_out_n}). {found.close:.1%} (95 % interval {low:.1%} to {high:.1%}) "
        "are nearer to a training event than 99 % of held-out events are; 1 % is expected. "
        f"Rank-sum z = {found.z:.1f} (below -3: nearer than real data). "
        f"Authentic: {found.authentic:.1%}, held-out events {found.held_out_authentic:.1%}. "
        f"{found.train_n:,} training events were searched. That nothing was found is no proof of privacy."
    )
    return [closeness(found), tag("p", words)]


def _settings(run: Run) -> Markup:
    settings = to_toml(run.settings.model_dump(mode="json"))
    return tag("details", tag("summary", "Settings"), tag("pre", settings))


def _papers(run: Run) -> Markup:
    papers = papers_of(run)
    if not papers:
        return Markup()
    return tag("details", tag("summary", "Papers"), tag("ul", *(tag("li", plain_entry(paper)) for paper in papers)))
