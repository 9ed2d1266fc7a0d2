"""Checkpoints: published whole or not at all, verified before they are believed.

Publishing writes into a temporary folder, syncs each file, writes the manifest,
syncs, renames, syncs the parent, verifies what the disk gives back, moves the
pointers and only then prunes. A reader takes a folder only if its manifest and
hashes agree; the pointers ``latest`` and ``best`` are for people.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from headwater.errors import CheckpointError, DivergenceError, ResourceError
from headwater.progress import Progress
from headwater.runs.failpoints import failpoint
from headwater.runs.files import (
    NO_SPACE,
    from_plain,
    json_bytes,
    read_json,
    reporting,
    sync_folder,
    write_atomic,
    write_new,
)
from headwater.runs.folder import RunFolder
from headwater.runs.leftovers import REPLACED, TEMPORARY, remove_tree
from headwater.runs.manifest import (
    FileRecord,
    Manifest,
    NewerFormatError,
    describe,
    read_manifest,
    verify,
    write_manifest,
)
from headwater.runs.reporter import PythonWarnings
from headwater.runs.shelf import Entry, entries, folder_name, make_room, prune
from headwater.runs.weights import non_finite, read_safetensors, tensor_bytes, write_safetensors

__all__ = ["Checkpoint", "Which", "load_checkpoint", "save_checkpoint"]

Which = Literal["latest", "best", "best-or-latest"] | int
_COUNTER = itertools.count()
_SHOW_FROM_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A verified checkpoint.

    Args:
        step: Optimizer steps done.
        groups: Named tensors by group: ``model``, ``ema``, ``optimizer``, ...
        state: Plain values saved beside them.
        path: Its folder.
        digest: Hash of its content.
        best: Whether it was the best so far on held-out data.
        manifest: Versions and threads it was made with.
    """

    step: int
    groups: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]
    path: Path
    digest: str
    best: bool
    manifest: Manifest


def save_checkpoint(
    folder: RunFolder,
    step: int,
    groups: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    *,
    keep: int,
    best: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Publish a checkpoint and prune older ones; call inside :meth:`RunFolder.writing`.

    Args:
        folder: The run.
        step: Optimizer steps done; saving a step again replaces it.
        groups: Tensors by group name and tensor name, each group a ``.safetensors`` file.
        state: JSON values (counters, schedules, names); non-finite floats come back as they went.
        keep: How many of the newest checkpoints remain, beside the best.
        best: Whether this is the best so far on held-out data.
        progress: Is told of pruning troubles and, when large, of the bytes written.

    Returns:
        The published folder.

    Raises:
        DivergenceError: a tensor holds NaN or infinity; names group and tensor; nothing is written.
        ResourceError: the disk is full (after one try to make room), read-only or gone; earlier
            checkpoints are intact and nothing half-written is visible.
    """
    progress = progress or PythonWarnings()
    _refuse_non_finite(groups, step)
    needed = sum(tensor_bytes(tensors) for tensors in groups.values())
    with reporting(folder.checkpoints, "Saving a checkpoint in", needed=needed):
        try:
            path = _publish(folder, step, groups, state, best=best, progress=progress)
        except OSError as error:
            if error.errno not in NO_SPACE or not make_room(folder, progress=progress):
                raise
            path = _publish(folder, step, groups, state, best=best, progress=progress)
    _verify_written(path)
    for aside in folder.checkpoints.glob(f"{path.name}{REPLACED}*"):
        remove_tree(aside, progress)
    _point(folder, "latest", path, progress)
    if best:
        _point(folder, "best", path, progress)
    prune(folder, keep, progress=progress)
    return path


def _refuse_non_finite(groups: Mapping[str, Mapping[str, Tensor]], step: int) -> None:
    spoiled = [f"{group}/{name}" for group, tensors in groups.items() for name in non_finite(tensors)]
    if spoiled:
        raise DivergenceError(
            f"At step {step} these tensors hold NaN or infinity and are not saved: {', '.join(spoiled[:10])}"
            + (f" and {len(spoiled) - 10} more." if len(spoiled) > 10 else "."),
            hint="Lower the learning rate (--set optimizer.lr=...) and resume: the last checkpoint is finite.",
        )


def _publish(
    folder: RunFolder,
    step: int,
    groups: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, Any],
    *,
    best: bool,
    progress: Progress,
) -> Path:
    failpoint("before-tmp")
    final = folder.checkpoints / folder_name(step)
    temporary = final.with_name(f"{final.name}{TEMPORARY}{os.getpid()}-{next(_COUNTER)}")
    try:
        temporary.mkdir()
        files = [*_write_groups(temporary, groups, progress), _write_state(temporary, state)]
        failpoint("after-tmp")
        write_manifest(temporary, describe(step, files, best=best))
        sync_folder(temporary)
        failpoint("after-manifest")
        if final.exists():
            # Moved aside, still readable there, until the new one has been verified.
            final.rename(final.with_name(f"{final.name}{REPLACED}{os.getpid()}-{next(_COUNTER)}"))
        temporary.rename(final)
        sync_folder(folder.checkpoints)
        failpoint("after-rename")
    finally:
        if temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)
    return final


def _write_groups(
    temporary: Path, groups: Mapping[str, Mapping[str, Tensor]], progress: Progress
) -> Iterator[FileRecord]:
    total = sum(tensor_bytes(tensors) for tensors in groups.values())
    shown = progress.phase("Saving a checkpoint", total=total, unit="bytes") if total >= _SHOW_FROM_BYTES else None
    with shown or nullcontext() as phase:
        for group, tensors in groups.items():
            name = f"{group}.safetensors"
            size, digest = write_safetensors(temporary / name, tensors, advance=phase.advance if phase else None)
            yield FileRecord(name=name, size=size, sha256=digest)


def _write_state(temporary: Path, state: Mapping[str, Any]) -> FileRecord:
    data = json_bytes(state)
    write_new(temporary / "state.json", data)
    return FileRecord(name="state.json", size=len(data), sha256=sha256(data).hexdigest())


def _verify_written(path: Path) -> None:
    try:
        verify(path, read_manifest(path))
    except CheckpointError as error:
        raise ResourceError(
            f"The disk gave back something else than was written: {error.message}",
            hint="Check the disk; older checkpoints were left alone.",
        ) from error


def _point(folder: RunFolder, name: str, path: Path, progress: Progress) -> None:
    try:
        write_atomic(folder.checkpoints / name, f"{path.name}\n".encode(), before_replace="mid-pointer")
    except ResourceError as error:
        progress.warn(f"The pointer was not moved, which readers do not mind: {error.message}")


def load_checkpoint(
    folder: RunFolder,
    which: Which = "latest",
    *,
    strict: bool = False,
    only: Collection[str] | None = None,
    progress: Progress | None = None,
) -> Checkpoint:
    """Read the newest checkpoint that verifies.

    Args:
        folder: The run.
        which: ``latest`` (by step), ``best``, ``best-or-latest``, or a step.
        strict: Refuse where the first choice is damaged, rather than warn and take an older one.
        only: Groups to read; None reads all.
        progress: Is warned of each damaged checkpoint, by name and reason.

    Raises:
        CheckpointError: none is left, a damaged one under ``strict``, or one of a newer format.
    """
    progress = progress or PythonWarnings()
    damaged: list[str] = []
    for entry in _candidates(folder, which):
        try:
            checkpoint = _read(entry, only)
        except NewerFormatError:
            raise
        except CheckpointError as error:
            damaged.append(error.message)
            if strict or isinstance(which, int):
                raise CheckpointError(
                    f"The checkpoint of step {entry.step} does not verify: {error.message}",
                    hint="Without --strict an older checkpoint is taken, if there is one.",
                ) from None
            continue
        for reason in damaged:
            progress.warn(f"A damaged checkpoint was passed over: {reason} Step {checkpoint.step} is used instead.")
        return checkpoint
    raise CheckpointError(
        f"{folder.path} has no usable {which if isinstance(which, str) else f'step {which}'} checkpoint"
        + (f": {' '.join(damaged)}" if damaged else f" (it has steps {_steps(folder)})."),
        hint="Train it: `headwater fit`, or `headwater resume` if training was interrupted before the first one.",
    )


def _steps(folder: RunFolder) -> str:
    return ", ".join(str(entry.step) for entry in entries(folder)[:10]) or "none"


def _candidates(folder: RunFolder, which: Which) -> list[Entry]:
    shelf = entries(folder)
    if isinstance(which, int):
        return [entry for entry in shelf if entry.step == which]
    if which == "latest":
        return shelf
    best = [entry for entry in shelf if _may_be_best(entry)]
    return best if which == "best" else best + [entry for entry in shelf if entry not in best]


def _may_be_best(entry: Entry) -> bool:
    try:
        return read_manifest(entry.path).best
    except NewerFormatError:
        raise
    except CheckpointError:
        return True  # it cannot say; reading it will name what is wrong


def _read(entry: Entry, only: Collection[str] | None) -> Checkpoint:
    manifest = read_manifest(entry.path)
    if manifest.step != entry.step:
        raise CheckpointError(f"{entry.path} was renamed: its manifest says step {manifest.step}.")
    groups = {Path(file.name).stem for file in manifest.files if file.name.endswith(".safetensors")}
    wanted = sorted(groups if only is None else groups & set(only))
    verify(entry.path, manifest, only={f"{group}.safetensors" for group in wanted} | {"state.json"})
    return Checkpoint(
        step=manifest.step,
        groups={group: read_safetensors(entry.path / f"{group}.safetensors") for group in wanted},
        state=from_plain(read_json(entry.path / "state.json")),
        path=entry.path,
        digest=manifest.digest,
        best=manifest.best,
        manifest=manifest,
    )
