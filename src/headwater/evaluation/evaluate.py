"""Evaluate one run: everything that can be measured, with its protocol, its floor, and what failed and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from headwater.errors import DivergenceError, HeadwaterError, UsageError, did_you_mean
from headwater.evaluation import measure
from headwater.evaluation.choose import choose_extractor, space_of
from headwater.evaluation.evaluation import Evaluation, Failure, Figure, Stamp, this_machine
from headwater.evaluation.likelihood import Likelihood, summarize
from headwater.evaluation.measure import Sides
from headwater.evaluation.subject import Rows, choose_rows, class_labels, columns_of, draw, score, take, with_label
from headwater.models.base import Density
from headwater.models.registry import find
from headwater.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from headwater.data.dataset import Dataset
    from headwater.data.schema import Schema
    from headwater.runs.run import Run

__all__ = ["FILE", "METRICS", "evaluate_run", "read_evaluation"]

FILE = "evaluation.json"
METRICS = ("likelihood", "distances", "two_sample", "recognition", "memorization", "fidelity", "utility")
_MOST_EVENTS = 10_000
_MOST_TRAIN = 200_000
_BAD_SHARE = 0.01


@dataclass
class _Found:
    """What is known so far."""

    figures: list[Figure] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rest: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def attempt(self, key: str) -> Iterator[None]:
        """Time a part; an error that a user can mend becomes a failure of this part alone."""
        start = time.perf_counter()
        try:
            yield
        except HeadwaterError as error:
            self.failures.append(Failure(key=key, reason=" ".join(str(error).split())))
        finally:
            self.seconds[key] = round(time.perf_counter() - start, 3)


@dataclass(frozen=True, eq=False)
class _Job:
    """One evaluation's inputs."""

    run: Run
    dataset: Dataset
    split: str
    seed: int
    n: int
    held_out: Rows
    train: Rows
    floor: Rows
    extractor_rows: Rows
    progress: Progress

    @property
    def schema(self) -> Schema:
        return self.dataset.schema


def evaluate_run(
    run: Run,
    *,
    dataset: Dataset | None = None,
    split: Literal["test", "valid"] = "test",
    n: int | None = None,
    seed: int = 0,
    extractor: str | Path = "auto",
    metrics: tuple[str, ...] = METRICS,
    progress: Progress | None = None,
    write: bool = True,
) -> Evaluation:
    """Measure a run on held-out data and write ``evaluation.json`` into its folder.

    Every figure of generated events is given beside its floor: the same figure of as many
    *training* events. A metric that cannot be had is listed with its reason; the others stand.

    Args:
        run: An opened run.
        dataset: The data; None opens the one the run names.
        split: ``test`` for final figures, ``valid`` for choosing between models.
        n: Held-out events to score, and events to generate; None: all of the split, at most 10,000.
        seed: Of the samples, estimators, choices of rows and the extractor.
        extractor: ``classifier`` (labels), ``random``, ``identity``, a safetensors file of
            :func:`headwater.evaluation.extractors.write_weights`, or ``auto``: for images the
            classifier where there are labels and random features where not, else the identity.
        metrics: Which of :data:`METRICS`.
        progress: Who hears how far it is.
        write: Whether to write the file.

    Raises:
        UsageError: an unknown metric or split, or ``n`` below 2.
        DataError, CheckpointError: the data cannot be read.
    """
    for name in metrics:
        if name not in METRICS:
            raise UsageError(f"No metric is called {name!r}.", hint=did_you_mean(name, METRICS))
    if n is not None and n < 2:
        raise UsageError(f"Expected at least 2 events to evaluate with, got n={n}.")
    progress = progress or SilentProgress()
    dataset = dataset or run.dataset()
    job = _job(run, dataset, split, seed, n, progress)
    found = _Found()
    if n is not None and n > job.n:
        found.warnings.append(f"the split {split!r} has {job.n} rows; {n} were asked for")
    if "likelihood" in metrics:
        _likelihood(job, found)
    stamp = {"extractor": "none", "extractor_fingerprint": ""}
    fake = _samples(job, found)
    if fake is not None:
        stamp = _against_real(job, fake, found, extractor, metrics)
    evaluation = _evaluation(job, found, stamp)
    for failure in evaluation.failures:
        progress.warn(f"{run.name}: {failure.key} was not measured: {failure.reason}")
    if write:
        run.folder.write_json(FILE, evaluation.model_dump(mode="json"))
    return evaluation


def _job(run: Run, dataset: Dataset, split: str, seed: int, n: int | None, progress: Progress) -> _Job:
    held_out = take(dataset, choose_rows(dataset, split, n or _MOST_EVENTS, seed))
    train = choose_rows(dataset, "train", _MOST_TRAIN, seed)
    floor = np.sort(np.random.default_rng(seed + 1).permutation(train)[: len(held_out)])
    rest = np.setdiff1d(train, floor)
    # a floor on rows the extractor was trained on would be too high: their features are fitted
    unseen = rest if len(rest) >= len(floor) else train
    return _Job(
        run,
        dataset,
        split,
        seed,
        len(held_out),
        held_out,
        take(dataset, train),
        take(dataset, floor),
        take(dataset, unseen),
        progress,
    )


def read_evaluation(folder: Any) -> Evaluation:
    """The evaluation in a run's folder (a ``RunFolder``).

    Raises:
        CheckpointError: missing or damaged.
        ConfigError: made by a version that measures something else.
    """
    return Evaluation.parse(folder.read_json(FILE), where=str(folder.path / FILE))


def _likelihood(job: _Job, found: _Found) -> None:
    if not isinstance(job.run.model, Density):
        return
    with found.attempt("log_likelihood"):
        scored = score(job.run, job.held_out, seed=job.seed, progress=job.progress)
        likelihood: Likelihood = summarize(
            scored.value.numpy(),
            kind=scored.kind,
            dims=job.run.codec.dims,
            split=job.split,
            conditional=job.held_out.labels is not None and job.run.codec.context.size > 0,
            stderr=None if scored.stderr is None else scored.stderr.numpy(),
            protocol=dict(scored.protocol),
        )
        found.rest["likelihood"] = likelihood


def _samples(job: _Job, found: _Found) -> Rows | None:
    made: list[Rows] = []
    with found.attempt("sampling"):
        start = time.perf_counter()
        rows, finite = draw(job.run, job.n, job.held_out.labels, seed=job.seed, progress=job.progress)
        took = time.perf_counter() - start
        found.figures.append(Figure(key="speed", value=job.n / max(took, 1e-9), note="one call, this machine"))
        bad = int((~finite).sum())
        if bad > _BAD_SHARE * job.n:
            raise DivergenceError(
                f"{bad} of {job.n} samples are not finite; figures of the rest would mislead.",
                hint="Train again with a lower optimizer.lr, or in training.precision='float64'.",
            )
        if bad:
            found.warnings.append(f"{bad} of {job.n} samples are not finite; the figures are those of the others")
        made.append(rows)
    return made[0] if made else None


def _against_real(
    job: _Job, fake: Rows, found: _Found, extractor: str | Path, metrics: tuple[str, ...]
) -> dict[str, str]:
    space = space_of(job.schema, job.train)
    stamp: dict[str, str] = {"extractor": "none", "extractor_fingerprint": ""}
    if {"distances", "two_sample"} & set(metrics):
        with found.attempt("features"):
            chosen = choose_extractor(extractor, space, job.extractor_rows, job.schema, seed=job.seed)
            stamp = {"extractor": chosen.name, "extractor_fingerprint": chosen.fingerprint}
            sides = Sides.of(chosen, fake.raw, job.held_out.raw, job.floor.raw)
            _add(
                found,
                metrics,
                "distances",
                lambda: measure.distances(sides, gaussian=job.schema.kind != "images", seed=job.seed),
            )
            _add(found, metrics, "two_sample", lambda: measure.separability(sides, seed=job.seed))
    wanted, true = class_labels(fake, job.schema), class_labels(job.held_out, job.schema)
    if wanted is not None and true is not None and job.run.codec.context.size:
        _add(
            found,
            metrics,
            "recognition",
            lambda: measure.recognition(
                choose_extractor("classifier", space, job.extractor_rows, job.schema, seed=job.seed),
                fake.raw,
                wanted,
                job.held_out.raw,
                true,
            ),
        )
    if "memorization" in metrics:
        with found.attempt("memorization"):
            memorized, figures = measure.memory(space, fake.raw, job.held_out.raw, job.train.raw)
            found.rest["memorization"] = memorized
            found.figures += figures
    if job.schema.kind == "table":
        _table(job, fake, found, metrics)
    return stamp


def _add(found: _Found, metrics: tuple[str, ...], key: str, make: Callable[[], list[Figure]]) -> None:
    if key in metrics:
        with found.attempt(key):
            found.figures += make()


def _table(job: _Job, fake: Rows, found: _Found, metrics: tuple[str, ...]) -> None:
    schema = job.schema
    columns, made = with_label(columns_of(schema), fake, schema)
    real, train = (with_label(columns_of(schema), rows, schema)[1] for rows in (job.held_out, job.floor))
    if "fidelity" in metrics:
        with found.attempt("columns"):
            figures, single, pairs = measure.fidelity(columns, made, real, train)
            found.figures += figures
            found.rest |= {"columns": single, "pairs": pairs}
    target = job.run.settings.data.target or (schema.label.name if schema.label else None)
    if "utility" in metrics and target is not None:
        with found.attempt("utility"):
            figures, use = measure.usefulness(columns, target, made, real, train, seed=job.seed)
            found.figures += figures
            found.rest |= {"utility_synthetic": use.synthetic, "utility_real": use.real, "target": target}


def _evaluation(job: _Job, found: _Found, stamp: dict[str, str]) -> Evaluation:
    run = job.run
    name, recipe = str(run.settings.model["name"]), run.recipe()
    return Evaluation(
        run=run.name,
        model=name,
        family=find(name).family,
        kind=job.schema.kind,
        parameters=sum(p.numel() for p in run.model.parameters()),
        stamp=Stamp.model_validate(
            {
                "data": job.dataset.fingerprint,
                "split": job.split,
                "n": job.n,
                "held_out": len(job.dataset.splits[job.split]),
                "seed": job.seed,
                "weights": recipe["weights"],
                "ema": run.settings.training.ema if recipe["weights"] == "ema" else 0.0,
                "step": recipe["step"],
                "checkpoint": recipe["checkpoint"],
                **stamp,
                **this_machine(),
            }
        ),
        figures=tuple(found.figures),
        seconds=found.seconds,
        warnings=tuple(found.warnings),
        failures=tuple(found.failures),
        **found.rest,
    )
