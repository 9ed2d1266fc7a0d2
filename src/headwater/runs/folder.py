"""A run's folder: what is in it, how it is made, opened and written; everything inert text.

::

    NAME/  config.toml  run.json  schema.json  codec.json  metrics.jsonl  checkpoints/  samples/  report.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headwater.config import read_toml, to_toml
from headwater.errors import CheckpointError, UsageError, did_you_mean
from headwater.progress import Progress
from headwater.runs import metrics
from headwater.runs.files import read_json, reporting, write_atomic, write_json
from headwater.runs.leftovers import remove_leftovers
from headwater.runs.lock import RunLock
from headwater.runs.reporter import PythonWarnings
from headwater.settings import RunSettings

__all__ = ["RunFolder"]


class RunFolder:
    """A run on disk. Reading needs nothing; writing happens inside :meth:`writing`.

    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> folder = RunFolder.create(root / "moons-nsf-001")
    >>> folder.write_settings(RunSettings(seed=3))
    >>> RunFolder.open(root / "moons-nsf-001").read_settings().seed
    3
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path | str, *, exist_ok: bool = False, data_path: Path | str | None = None) -> RunFolder:
        """Make the folder of a new run. Nothing that exists is ever deleted.

        Args:
            path: The folder; parents are made.
            exist_ok: Accept a folder that holds something already.
            data_path: The data, which the run may not be written into.

        Raises:
            UsageError: the root of the file system, a file, inside the data, or not empty.
            ResourceError: the system refuses; names the path.
        """
        folder = cls(_absolute(Path(path)))
        _refuse_place(folder.path, data_path, exist_ok=exist_ok)
        with reporting(folder.path, "Making the run folder"):
            folder.checkpoints.mkdir(parents=True, exist_ok=True)
            folder.samples.mkdir(exist_ok=True)
        return folder

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """The folder of an existing run.

        Raises:
            UsageError: there is no such folder; offers the nearest one beside it.
            CheckpointError: a folder, but not a run's.
        """
        place = _absolute(Path(path))
        if not place.exists():
            beside = [entry.parent.name for entry in place.parent.glob("*/checkpoints")]
            raise UsageError(f"There is no run {path!s}.", hint=did_you_mean(place.name, beside))
        if not place.is_dir():
            raise CheckpointError(f"{path!s} is a file; a run is a folder.", hint="Give the folder that holds it.")
        if not (place / "config.toml").is_file():
            held = ", ".join(sorted(entry.name for entry in place.iterdir())[:8]) or "nothing"
            raise CheckpointError(
                f"{path!s} is not a run: it has no config.toml (it holds {held}).",
                hint="A run is a folder that `headwater fit` wrote; give that folder itself.",
            )
        return cls(place)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """One folder per published step."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """Sheets drawn while training, samples drawn after."""
        return self.path / "samples"

    @property
    def metrics(self) -> Path:
        """One JSON object per line: losses, evaluations, events."""
        return self.path / "metrics.jsonl"

    @contextmanager
    def writing(self, *, progress: Progress | None = None) -> Iterator[RunFolder]:
        """Hold the run for writing: lock it, then remove and report what a killed writer left.

        Raises:
            ResourceError: another process is writing it; names its pid and host.
        """
        progress = progress or PythonWarnings()
        with RunLock(self.path / ".lock") as lock:
            if lock.taken_over:
                progress.note(f"{self.name}: {lock.taken_over} died while writing; its lock is taken over.")
            for left in remove_leftovers(self.path, progress):
                progress.note(f"{self.name}: removed {left}, which an interrupted writer left unfinished.")
            yield self

    def write_settings(self, settings: RunSettings) -> None:
        """Write ``config.toml``; what is None though its default is not is spelled ``none``."""
        values = settings.model_dump(mode="json")
        default = RunSettings().model_dump(mode="json")
        write_atomic(self.path / "config.toml", to_toml(_spelled(values, default)).encode())

    def read_settings(self) -> RunSettings:
        """Read ``config.toml``.

        Raises:
            ConfigError: not TOML, too large or deep, or a setting that does not exist.
        """
        file = self.path / "config.toml"
        return RunSettings.parse(read_toml(file), where=str(file))

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write ``run.json``, ``schema.json``, ``codec.json`` or another JSON object of the run, atomically."""
        write_json(self.path / name, value)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON object of the run, bounded in size and depth.

        Raises:
            CheckpointError: missing or damaged; names the file.
        """
        return read_json(self.path / name)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a row (it should hold its ``step``) to ``metrics.jsonl``; see :mod:`headwater.runs.metrics`."""
        metrics.append(self.metrics, row)

    def append_event(self, event: str, *, step: int, **details: Any) -> None:
        """Add something that happened (rollback, resume, warning) to ``metrics.jsonl``."""
        metrics.append(self.metrics, {"event": event, "step": step, **details})

    def read_metrics(self) -> list[dict[str, Any]]:
        """All rows of ``metrics.jsonl``, events included, oldest first."""
        return metrics.read(self.metrics)

    def truncate_metrics(self, step: int) -> int:
        """Drop the rows after ``step``, so that a resumed log is the log of an uninterrupted run; how many."""
        return metrics.truncate(self.metrics, step)


def _absolute(path: Path) -> Path:
    return path.expanduser().resolve()


def _refuse_place(path: Path, data_path: Path | str | None, *, exist_ok: bool) -> None:
    if path == Path(path.anchor):
        raise UsageError(f"A run cannot be written to {path}.", hint="Give a folder of its own: --out runs")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; a run needs a folder of its own.", hint="Choose another --out.")
    data = _absolute(Path(data_path)) if data_path is not None else None
    if data is not None and data.is_dir() and path.is_relative_to(data):
        raise UsageError(
            f"{path} lies inside the data {data}; the run would become part of it.",
            hint="Choose a folder beside the data: --out runs",
        )
    if not exist_ok and path.is_dir() and any(path.iterdir()):
        raise UsageError(
            f"{path} exists and is not empty.",
            hint="Choose another --out, go on with it by `headwater resume`, or pass --exist-ok. Nothing is deleted.",
        )


def _spelled(values: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with every None that is not the default spelled as a word, since TOML has no null."""
    spelled: dict[str, Any] = {}
    for key, value in values.items():
        usual = default.get(key)
        if isinstance(value, Mapping) and isinstance(usual, Mapping) and key != "model":
            spelled[key] = _spelled(value, usual)
        else:
            spelled[key] = "none" if value is None and usual is not None else value
    return spelled
