"""May this run go on? Same data, same architecture, same seed; a larger budget is welcome."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from headwater.data.dataset import Dataset
from headwater.errors import CheckpointError, ConfigError, DataError
from headwater.models.registry import load_class
from headwater.progress import Progress
from headwater.runs.checkpoint import Checkpoint
from headwater.settings import RunSettings

__all__ = ["check_resume", "describe_origin", "same_budget"]

_BUDGET = ("steps", "epochs", "minutes")
_FREE = {
    "device",
    "data.path",
    *(f"training.{name}" for name in _BUDGET),
    *(
        f"training.{name}"
        for name in (
            "patience",
            "evaluate_every",
            "sample_every",
            "checkpoint_every",
            "keep",
            "compile",
            "rollbacks",
            "workers",
        )
    ),
}


def describe_origin(settings: RunSettings, dataset: Dataset, processes: int) -> dict[str, Any]:
    """What a checkpoint says about where it came from."""
    return {
        "settings": _resolved(settings),
        "data_fingerprint": dataset.fingerprint,
        "processes": processes,
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__}


def _resolved(settings: RunSettings) -> dict[str, Any]:
    values = settings.model_dump(mode="json")
    section = dict(settings.model)
    name = str(section.pop("name"))
    config = load_class(name).Config.parse(section, where="model")
    return {**values, "model": {"name": name, **config.model_dump(mode="json")}}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found


def same_budget(saved: Mapping[str, Any], settings: RunSettings) -> bool:
    """Whether the budgets are those the checkpoint was made under."""
    before = saved["settings"]["training"]
    return all(before.get(name) == settings.training.model_dump()[name] for name in _BUDGET)


def check_resume(
    checkpoint: Checkpoint,
    settings: RunSettings,
    dataset: Dataset,
    progress: Progress,
    *,
    allow_data_change: bool,
) -> bool:
    """Refuse to go on from a checkpoint that does not fit; whether the data has changed (and may).

    Raises:
        ConfigError: other architecture, optimizer, data settings or seed; lists the fields.
        DataError: other data, unless ``allow_data_change``.
        CheckpointError: not a checkpoint of training.
    """
    saved = checkpoint.state
    if "training" not in saved or "settings" not in saved:
        raise CheckpointError(f"{checkpoint.path} holds weights but no training state.", hint="Start a new run.")
    before, now = _flat(saved["settings"]), _flat(_resolved(settings))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key) and key not in _FREE)
    if changed:
        lines = "\n".join(f"  {key}: {before.get(key)!r} -> {now.get(key)!r}" for key in changed)
        raise ConfigError(
            f"The run was begun with other settings, which cannot change under way:\n{lines}",
            hint="Resume without them (budgets, patience, intervals and the device may change), or start a new run.",
        )
    _compare_machines(checkpoint, progress)
    if saved["data_fingerprint"] == dataset.fingerprint:
        return False
    if not allow_data_change:
        raise DataError(
            f"The data has changed since the run was begun: fingerprint {saved['data_fingerprint']}, "
            f"now {dataset.fingerprint}.",
            hint="Bring the data back, or go on with the new data by --allow-data-change (it will be recorded).",
        )
    return True


def _compare_machines(checkpoint: Checkpoint, progress: Progress) -> None:
    then = dict(checkpoint.state.get("versions", {}))
    differing = [f"{name} {then.get(name)} -> {now}" for name, now in _versions().items() if then.get(name) != now]
    if checkpoint.manifest.threads != torch.get_num_threads():
        differing.append(f"threads {checkpoint.manifest.threads} -> {torch.get_num_threads()}")
    if differing:
        progress.warn(
            f"Bit-exactness is not guaranteed: the run was begun with other versions ({', '.join(differing)})."
        )
