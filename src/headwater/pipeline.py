"""From data to a trained run: read, fit the codec, make the folder, train; and the same again on resuming."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headwater.data import Codec, Dataset, open_dataset
from headwater.errors import UsageError
from headwater.models.registry import load_class
from headwater.progress import Progress
from headwater.runs.build import build_model
from headwater.runs.device import choose_device
from headwater.runs.environment import environment_record
from headwater.runs.folder import RunFolder
from headwater.runs.names import check_name, default_name
from headwater.runs.run import Run
from headwater.settings import RunSettings, TrainingSettings
from headwater.training.dryrun import DryRun, dry_run
from headwater.training.fit import FitResult, fit_run
from headwater.training.settings import merge_settings

__all__ = ["Prepared", "is_main_process", "prepare", "rehearse", "resume_run", "train"]

RUNS = Path("runs")


@dataclass(frozen=True)
class Prepared:
    """Everything training needs, with nothing written yet."""

    dataset: Dataset
    codec: Codec
    settings: RunSettings
    progress: Progress


def is_main_process() -> bool:
    """Whether this is the process that writes, of those that a launcher such as torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def prepare(data: Any, given: Mapping[str, Any], progress: Progress) -> Prepared:
    """Read the data, fit the codec in the encoding that the model wants, and see that device and model can be had.

    Args:
        data: What to learn from.
        given: The user's settings, see :func:`headwater.api.gather`; the model's defaults for this data are added.
        progress: Who hears how far it is.
    """
    cls = load_class(str(given["model"]["name"]))
    settings = merge_settings(given, cls)
    choose_device(settings.device)
    if settings.data.path is not None:  # absolute, so that the run resumes from any working folder
        where = {"path": str(Path(settings.data.path).resolve())}
        settings = settings.model_copy(update={"data": settings.data.model_copy(update=where)})
    dataset = open_dataset(data, settings.data, progress=progress)
    if dataset.schema.kind == "images":
        settings = merge_settings(given, cls, pictures=True).model_copy(update={"data": settings.data})
    codec = Codec.fit(dataset, cls.encoding)
    with torch.random.fork_rng(devices=[]):
        build_model(settings.model, codec.event, codec.context)  # refused now, before anything is written
    rows = ", ".join(f"{len(rows):,} {name}" for name, rows in dataset.splits.items())
    progress.note(f"data: {dataset.schema.kind}, {rows}; the model sees {codec.event}")
    return Prepared(dataset, codec, settings, progress)


def rehearse(prepared: Prepared) -> DryRun:
    """What the run would take; writes nothing."""
    return dry_run(prepared.dataset, prepared.codec, prepared.settings, progress=prepared.progress)


def train(prepared: Prepared, *, out: str | Path | None = None, exist_ok: bool = False) -> Run:
    """Make the run folder and train into it.

    Raises:
        UsageError: the folder is not empty, lies in the data, or cannot be a run's.
        HeadwaterError: what training ended by, with everything up to the last checkpoint saved.
    """
    settings, progress = prepared.settings, prepared.progress
    model = str(settings.model["name"])
    path = _place(out, settings)
    if not is_main_process():
        folder = RunFolder(path.resolve())
        fit_run(prepared.dataset, prepared.codec, settings, folder, progress=progress)
        return Run.load(folder.path, device=settings.device)
    folder = RunFolder.create(path, exist_ok=exist_ok, data_path=settings.data.path)
    progress.note(f"run: {_shown(folder.path)} ({model}); Ctrl-C saves, then: headwater resume {_shown(folder.path)}")
    with folder.writing(progress=progress):
        if any(folder.checkpoints.iterdir()):
            raise UsageError(
                f"{_shown(folder.path)} holds a trained run already; nothing of it is overwritten.",
                hint=f"headwater resume {_shown(folder.path)}   or another --out",
            )
        _describe(folder, prepared)
        result = fit_run(prepared.dataset, prepared.codec, settings, folder, progress=progress)
    _say_how_it_ended(result, progress)
    return Run.load(folder.path, device=settings.device, progress=progress)


def resume_run(path: Path, data: Any, *, budget: Mapping[str, Any], allow_data_change: bool, progress: Progress) -> Run:
    """Train on, with another budget where one is given."""
    folder = RunFolder.open(path)
    settings = folder.read_settings()
    if budget:
        cleared = settings.training.model_dump() | {"steps": None, "epochs": None, "minutes": None} | dict(budget)
        settings = settings.model_copy(update={"training": TrainingSettings.parse(cleared, where="training")})
    source = settings.data.path if data is None else data
    if source is None:
        raise UsageError(
            f"The data of {folder.name} was given in Python and is not stored.",
            hint="headwater.resume(run, data=...) with the same data",
        )
    dataset = open_dataset(source, settings.data, progress=progress)
    codec = Codec.from_json(folder.read_json("codec.json"))
    if not is_main_process():
        fit_run(dataset, codec, settings, folder, progress=progress, resume=True, allow_data_change=allow_data_change)
        return Run.load(folder.path, device=settings.device)
    with folder.writing(progress=progress):
        result = fit_run(
            dataset, codec, settings, folder, progress=progress, resume=True, allow_data_change=allow_data_change
        )
        folder.write_settings(settings)
    _say_how_it_ended(result, progress)
    return Run.load(folder.path, device=settings.device, progress=progress)


def _place(out: str | Path | None, settings: RunSettings) -> Path:
    if out is not None:
        check_name(Path(out).resolve().name)
        return Path(out)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError("Several processes need one name for their run.", hint="Give it: --out runs/NAME")
    return RUNS / default_name(settings.data.path, str(settings.model["name"]), RUNS)


def _describe(folder: RunFolder, prepared: Prepared) -> None:
    """What the run is, before its first step: settings, schema, codec, environment."""
    dataset, settings = prepared.dataset, prepared.settings
    folder.write_settings(settings)
    folder.write_json("schema.json", dataset.schema.to_json())
    folder.write_json("codec.json", prepared.codec.to_json())
    counts = None
    if dataset.labels is not None and prepared.codec.context.classes:
        labels = dataset.labels[dataset.splits["train"]]
        counts = np.bincount(labels[labels >= 0], minlength=len(prepared.codec.context.classes)).tolist()
    record = environment_record(
        seed=settings.seed,
        device=settings.device,
        fingerprint=dataset.fingerprint,
        rows={name: len(rows) for name, rows in dataset.splits.items()},
        label_counts=counts,
    )
    folder.write_json("run.json", record)


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _say_how_it_ended(result: FitResult, progress: Progress) -> None:
    best = f", best held-out {result.best.value:.4f} at step {result.best.step}" if result.best else ""
    progress.note(f"trained {result.step} steps in {result.seconds:.0f} s, ended by {result.stopped_because}{best}")
