"""The verbs as Python functions; the command line is a face over these same functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.config import apply_assignments, read_toml
from headwater.errors import UsageError
from headwater.models.registry import Entry, load_class, names
from headwater.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from headwater.data.inspection import Inspection
    from headwater.evaluation.evaluation import Evaluation
    from headwater.evaluation.leaderboard import Leaderboard
    from headwater.evaluation.plot import Plots
    from headwater.runs.run import Run
    from headwater.settings import RunSettings

__all__ = [
    "compare",
    "evaluate",
    "fit",
    "gather",
    "gather_settings",
    "inspect",
    "list_models",
    "load",
    "plot",
    "resume",
]


def gather(
    model: str | None = None,
    *,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    assignments: Iterable[str] = (),
    explicit: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A user's settings from all sources, nested; later ones win.

    Order: the ``config`` file, ``settings``, the ``assignments`` (``section.key=value``), the
    ``explicit`` arguments that are not None.
    """
    values: dict[str, Any] = read_toml(Path(config)) if config is not None else {}
    for section, content in (settings or {}).items():
        below = values.get(section)
        values[section] = {**below, **content} if isinstance(below, dict) and isinstance(content, Mapping) else content
    values = apply_assignments(values, assignments)
    for path, value in (explicit or {}).items():
        if value is not None:
            section, _, key = path.partition(".")
            if key:
                values[section] = {**values.get(section, {}), key: value}
            else:
                values[section] = value
    chosen = dict(values.get("model", {}))
    if model is not None:
        chosen["name"] = model
    values["model"] = {"name": "nsf", **chosen}
    return values


def gather_settings(**sources: Any) -> RunSettings:
    """All settings of a run: the model's own defaults, and what :func:`gather` finds on top.

    Raises:
        ConfigError: an unknown key or an invalid value, with the nearest known key.
        UsageError: no model of that name.
    """
    from headwater.training.settings import merge_settings

    values = gather(**sources)
    return merge_settings(values, load_class(str(values["model"]["name"])))


def fit(
    data: Any,
    model: str | None = None,
    *,
    out: str | Path | None = None,
    label: str | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    exist_ok: bool = False,
    progress: Progress | None = None,
    **model_settings: Any,
) -> Run:
    """Learn the distribution of ``data`` with one model and return the finished run.

    Args:
        data: A path (folder, zip, npy, npz, idx, CSV, Parquet), an array, a tensor or a data frame.
        model: A registered name, see :func:`list_models`; ``nsf`` by default.
        out: Run folder; by default ``runs/<data>-<model>`` with a counter.
        label: What to condition on: a column, an array's key, ``folder``, or ``none``.
        steps, epochs, minutes: Budgets; the first one reached ends training. None: chosen by data size.
        seed: Of weights, data order and noise.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        config: A TOML file of settings.
        settings: Nested settings, as in the file: ``{"optimizer": {"lr": 3e-4}}``.
        exist_ok: Train into an existing folder's place (nothing in it is deleted but earlier checkpoints).
        progress: Who hears how far it is.
        model_settings: Settings of the model itself, such as ``transforms=8``.

    Raises:
        HeadwaterError: of the class that says what to mend (see ``headwater.errors``).

    >>> import numpy as np
    >>> import tempfile
    >>> x = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = fit(x, "gaussian-mixture", out=f"{folder}/run")
    ...     run.sample(5).shape
    (5, 2)
    """
    from headwater.pipeline import prepare, train

    explicit = {
        "data.label": label,
        "training.steps": steps,
        "training.epochs": epochs,
        "training.minutes": minutes,
        "seed": seed,
        "device": device,
    }
    if isinstance(data, str | Path):
        explicit["data.path"] = str(data)
    nested = {**(settings or {}), "model": {**(settings or {}).get("model", {}), **model_settings}}
    given = gather(model, config=config, settings=nested, explicit=explicit)
    prepared = prepare(data, given, progress or SilentProgress())
    return train(prepared, out=out, exist_ok=exist_ok)


def resume(
    run: str | Path,
    *,
    data: Any = None,
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    allow_data_change: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Go on with an interrupted run, or with a finished one under a larger budget.

    On the same machine, versions and threads the result is bit for bit that of a
    run that was never interrupted.

    Raises:
        CheckpointError: the run has no valid checkpoint, or its settings do not fit.
        DataError: the data is not what the run was begun with (``allow_data_change`` goes on).
    """
    from headwater.pipeline import resume_run

    budget = {"steps": steps, "epochs": epochs, "minutes": minutes}
    return resume_run(
        Path(run),
        data,
        budget={key: value for key, value in budget.items() if value is not None},
        allow_data_change=allow_data_change,
        progress=progress or SilentProgress(),
    )


def load(run: str | Path, *, weights: str = "ema", device: str = "auto") -> Run:
    """Open a run folder; nothing it holds is executed.

    Raises:
        CheckpointError: no run there, or no checkpoint that verifies.
    """
    from headwater.runs.run import Run

    return Run.load(Path(run), weights=weights, device=device)


def evaluate(run: Run | str | Path, **options: Any) -> Evaluation:
    """Measure one run on held-out data; the result is also written to the run folder."""
    from headwater.evaluation.evaluate import evaluate_run

    return evaluate_run(load(run) if isinstance(run, str | Path) else run, **options)


def plot(run: Run | str | Path, out: str | Path | None = None, **options: Any) -> Plots:
    """Draw a run's density, samples and way from noise to data; see :func:`headwater.evaluation.plot.plot_run`."""
    from headwater.evaluation.plot import plot_run

    return plot_run(load(run) if isinstance(run, str | Path) else run, out, **options)


def compare(*runs: Run | str | Path, **options: Any) -> Leaderboard:
    """One leaderboard over runs; rows that cannot be compared are said to be so.

    Raises:
        UsageError: no run was given.
    """
    from headwater.evaluation.compare import compare as compare_runs

    if not runs:
        raise UsageError("Expected at least one run to compare, got none.", hint="headwater compare runs/*")
    return compare_runs(runs, **options)


def inspect(data: Any, **settings: Any) -> Inspection:
    """What the data is and what a model will see of it; settings as in the section ``data``."""
    from headwater.data import inspect as inspect_data
    from headwater.settings import DataSettings

    return inspect_data(data, DataSettings.parse(settings, where="data"))


def list_models(pattern: str = "*") -> tuple[Entry, ...]:
    """Registered models whose name or family matches a shell pattern."""
    return names(pattern)
