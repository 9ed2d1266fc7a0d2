"""The record of an evaluation: figures with their protocol, and what could not be measured with its reason."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import torch
from pydantic import Field

from headwater.config import Config
from headwater.evaluation.catalogue import entry
from headwater.evaluation.likelihood import Likelihood
from headwater.evaluation.memorization import Memorization
from headwater.evaluation.text import figure, grid

__all__ = ["Evaluation", "Failure", "Figure", "Stamp", "this_machine"]


class Figure(Config):
    """One number, its standard error, and the floor: the same number for real data."""

    key: str = Field(description="what it is: a key of the catalogue")
    value: float
    stderr: float | None = None
    floor: float | None = Field(None, description="the same between two sets of real events of the same sizes")
    floor_stderr: float | None = None
    note: str = ""


class Failure(Config):
    """A figure that could not be had."""

    key: str
    reason: str


class Stamp(Config):
    """The protocol: figures under different stamps are not compared."""

    data: str = Field(description="fingerprint of the data set")
    split: str
    n: int = Field(description="generated events, and held-out events they are compared with")
    held_out: int = Field(description="events in the split")
    seed: int = Field(description="of samples, estimators and choices of rows")
    extractor: str = Field("none", description="features that distances are measured on")
    extractor_fingerprint: str = ""
    weights: str = Field("", description="ema or model")
    ema: float = Field(0.0, description="decay of the averaged weights")
    step: int | None = Field(None, description="training steps of the checkpoint")
    checkpoint: str = Field("", description="hash of the weights")
    machine: str = ""
    versions: dict[str, str] = Field({}, description="of what decides figures")
    made: str = Field("", description="when, UTC")


def this_machine() -> dict[str, object]:
    """The fields ``machine``, ``versions`` and ``made`` of a :class:`Stamp`."""
    return {
        "machine": f"{platform.machine()} {platform.system()}, {os.cpu_count()} CPUs, "
        f"{torch.get_num_threads()} threads",
        "versions": {
            "headwater": version("headwater"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


class Evaluation(Config):
    """Everything measured on one run; inert JSON in the run folder as ``evaluation.json``."""

    version: Literal[1] = 1
    run: str
    model: str
    family: str
    kind: str = Field(description="images, table or arrays")
    parameters: int = Field(0, ge=0, description="trainable numbers")
    stamp: Stamp
    likelihood: Likelihood | None = None
    figures: tuple[Figure, ...] = ()
    memorization: Memorization | None = None
    columns: dict[str, float] = Field({}, description="fidelity of each column")
    pairs: tuple[tuple[str, str, float], ...] = Field((), description="the least alike pairs of columns")
    utility_synthetic: dict[str, float] = Field({}, description="scores of a learner trained on generated rows")
    utility_real: dict[str, float] = Field({}, description="scores of the same learner trained on real rows")
    target: str = Field("", description="column that utility is measured on")
    seconds: dict[str, float] = Field({}, description="time each part took")
    warnings: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()

    def figure(self, key: str) -> Figure | None:
        """The figure of a key, or None where it was not measured."""
        return next((found for found in self.figures if found.key == key), None)

    def __str__(self) -> str:
        stamp = self.stamp
        lines = [
            f"{self.run}: {self.model} ({self.family}) on {stamp.split}, {stamp.held_out} held-out events; "
            f"{stamp.n} samples, seed {stamp.seed}, extractor {stamp.extractor} {stamp.extractor_fingerprint}",
            "",
        ]
        rows = [["figure", "value", "std. error", "real data", "note"]]
        if self.likelihood is not None:
            rows += _likelihood_rows(self.likelihood)
        for found in self.figures:
            about = entry(found.key)
            floor = "" if found.floor is None else figure(found.floor, about.decimals)
            error = "" if found.stderr is None else figure(found.stderr, about.decimals)
            rows.append(
                [_ascii(about.title), figure(found.value, about.decimals), error, floor, found.note.replace("\n", " ")]
            )
        if self.memorization is not None:
            rows.append(["Memorization", self.memorization.verdict, "", "", _closeness(self.memorization)])
        lines.append(grid(rows, right=(1, 2, 3)))
        lines += [f"warning: {text}" for text in self.warnings]
        lines += [f"not measured: {_ascii(entry(f.key).title)}: {f.reason}" for f in self.failures]
        return "\n".join(lines)

    __repr__ = __str__


def _ascii(text: str) -> str:
    return text.replace("é", "e")


def _closeness(found: Memorization) -> str:
    return f"{100 * found.close:.1f} % nearer to training data than 99 % of held-out events are"


def _likelihood_rows(found: Likelihood) -> list[list[str]]:
    if found.mean is None or found.bits_per_dim is None:
        return [["Log-likelihood", "-inf", "", "", f"{found.impossible} of {found.n} events have probability zero"]]
    given = "log p(x | label), nats per event" if found.conditional else "log p(x), nats per event"
    error, bits_error = ("" if e is None else figure(e, 3) for e in (found.stderr, found.bits_per_dim_stderr))
    return [
        ["Log-likelihood", figure(found.mean, 3), error, "", f"{found.kind}; {given}"],
        ["Bits per dimension", figure(found.bits_per_dim, 3), bits_error, "", f"{found.dims} elements"],
    ]
