"""Many proteins: a queue over a folder of alignments that resumes, and shards over processes or machines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headwater.applications.variants.ensemble import RECORD
from headwater.applications.variants.fit import fit_protein
from headwater.errors import BusyError, DataError, HeadwaterError, InterruptedRunError, ResourceError, UsageError
from headwater.progress import Progress, SilentProgress
from headwater.runs.names import slug

__all__ = ["SUFFIXES", "QueueResult", "Shard", "alignments_in", "fit_folder"]

SUFFIXES = (".a2m", ".a3m", ".sto", ".stk", ".stockholm", ".fasta", ".fa", ".afa", ".aln")
_LAUNCHER = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")


@dataclass(frozen=True)
class Shard:
    """Which part of a queue is ours: ``index`` of ``count``, from 0."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``3/16`` is the third of sixteen.

        >>> Shard.parse("3/16")
        Shard(index=2, count=16)

        Raises:
            UsageError: not of that form.
        """
        first, _, second = text.partition("/")
        if not (first.isdigit() and second.isdigit() and 1 <= int(first) <= int(second)):
            raise UsageError(f"Expected a shard such as 3/16, got {text!r}.", hint="--shard 1/4, ..., --shard 4/4")
        return cls(int(first) - 1, int(second))

    @classmethod
    def of_environment(cls) -> Shard:
        """The one that a launcher such as torchrun gave this process; all of it without one."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@dataclass(frozen=True)
class QueueResult:
    """How a shard of a queue went, by name of protein."""

    fitted: tuple[str, ...]
    before: tuple[str, ...]
    busy: tuple[str, ...]
    failed: dict[str, str]

    def __str__(self) -> str:
        parts = [f"{len(self.fitted)} fitted", f"{len(self.before)} were already"]
        if self.busy:
            parts.append(f"{len(self.busy)} are being fitted by another process")
        if self.failed:
            parts.append(f"{len(self.failed)} failed")
        return ", ".join(parts)


def alignments_in(folder: Path) -> dict[str, Path]:
    """The alignments in a folder by the name of their ensemble, in order.

    Raises:
        DataError: none, or two that would have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        bare = path.with_suffix("") if path.suffix.lower() == ".gz" else path
        if not path.is_file() or bare.suffix.lower() not in SUFFIXES:
            continue
        name = slug(bare.stem)
        if name in found:
            raise DataError(f"{found[name].name} and {path.name} would both be {name}.", hint="Rename one of them.")
        found[name] = path
    if not found:
        raise DataError(f"{folder}: no alignment here.", hint=f"Known endings: {', '.join(SUFFIXES)}, each maybe .gz")
    return found


def fit_folder(
    folder: str | Path, out: str | Path, *, shard: Shard | None = None, progress: Progress | None = None, **options: Any
) -> QueueResult:
    """Fit every alignment of a folder to an ensemble of its own, ``out/NAME``; what is fitted already is left alone.

    Shards take every ``count``-th alignment; give each process or machine its own and one ``out``, or copy the
    folders of several machines into one: results merge by lying side by side. A protein that fails is recorded and
    the queue goes on.

    Args:
        folder: Alignments of :data:`SUFFIXES`.
        out: Where ensembles go.
        shard: Our part; None: what torchrun says, or all.
        progress: Who hears how far it is.
        options: As of :func:`headwater.applications.variants.fit.fit_protein`.

    Raises:
        InterruptedRunError: stopped on request; the same call goes on.
    """
    progress = progress or SilentProgress()
    part = shard or Shard.of_environment()
    everything = list(alignments_in(Path(folder)).items())
    ours = everything[part.index :: part.count]
    fitted, before, busy = [], [], []
    failed: dict[str, str] = {}
    with _alone(), progress.phase("Proteins", total=len(ours), unit="proteins") as phase:
        for name, path in ours:
            place = Path(out) / name
            if (place / RECORD).is_file():
                before.append(name)
                phase.advance()
                continue
            try:
                fit_protein(path, place, progress=progress, **options)
                fitted.append(name)
            except BusyError:
                busy.append(name)
            except (InterruptedRunError, ResourceError):  # of the machine, not of this protein
                raise
            except HeadwaterError as error:
                failed[name] = error.message
                progress.warn(f"{name} failed: {error}")
            phase.advance()
    return QueueResult(tuple(fitted), tuple(before), tuple(busy), failed)


@contextmanager
def _alone() -> Iterator[None]:
    """Within a launcher's process, train as if it were the only one: each has proteins of its own."""
    taken = {name: os.environ.pop(name) for name in _LAUNCHER if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)
