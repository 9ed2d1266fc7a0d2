"""The published checkpoints of a run: listed by step (never by time), pruned, rewound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from headwater.errors import CheckpointError
from headwater.progress import Progress
from headwater.runs.failpoints import failpoint
from headwater.runs.folder import RunFolder
from headwater.runs.leftovers import REPLACED, TEMPORARY, remove_leftovers, remove_tree
from headwater.runs.manifest import Manifest, NewerFormatError, read_manifest, verify
from headwater.runs.reporter import PythonWarnings

__all__ = ["Entry", "entries", "folder_name", "is_whole", "make_room", "prune", "rewind"]

_NAME = re.compile(rf"(\d{{6,15}})({re.escape(REPLACED)}[\d-]+)?")


class Entry(NamedTuple):
    """A folder that may be a checkpoint; only its manifest can tell."""

    step: int
    path: Path


def folder_name(step: int) -> str:
    """``000400`` for step 400."""
    return f"{step:06d}"


def entries(folder: RunFolder) -> list[Entry]:
    """What lies on the shelf, newest step first; a folder moved aside comes after the one that replaced it."""
    if not folder.checkpoints.is_dir():
        return []
    found = [(match, path) for path in folder.checkpoints.iterdir() if (match := _NAME.fullmatch(path.name))]
    found.sort(key=lambda item: (-int(item[0][1]), item[0][2] is not None, item[1].name))
    return [Entry(int(match[1]), path) for match, path in found if path.is_dir()]


def is_whole(entry: Entry) -> Manifest | None:
    """Its manifest if all files are there with the recorded sizes (hashes are not computed), else None."""
    try:
        manifest = read_manifest(entry.path)
        verify(entry.path, manifest, only=())
    except NewerFormatError:
        raise
    except CheckpointError:
        return None
    return manifest if manifest.step == entry.step else None


def prune(folder: RunFolder, keep: int, *, progress: Progress | None = None) -> None:
    """Delete all but the ``keep`` newest whole checkpoints and the best; a failed deletion is tried again next time.

    A checkpoint is renamed before it is deleted, so that a kill in between leaves no half one in view.
    """
    progress = progress or PythonWarnings()
    shelf = entries(folder)
    whole = [(entry, manifest) for entry in shelf if (manifest := is_whole(entry))]
    best = next((entry.path for entry, manifest in whole if manifest.best), None)
    kept = {entry.path for entry, _ in whole[:keep]} | {best}
    for entry in shelf:
        if entry.path not in kept:
            _discard(entry.path, progress)
    remove_leftovers(folder.path, progress)


def make_room(folder: RunFolder, *, progress: Progress) -> bool:
    """Delete the oldest checkpoint that is neither the newest verified one nor the best; whether there was one."""
    shelf = entries(folder)
    kept: set[Path] = set()
    for entry in shelf:
        manifest = is_whole(entry)
        if manifest is None:
            continue
        if not kept:
            verify(entry.path, manifest)
            kept.add(entry.path)
        if manifest.best:
            kept.add(entry.path)
            break
    spare = [entry for entry in reversed(shelf) if entry.path not in kept]
    if not kept or not spare:
        return False
    progress.warn(f"The disk is full: the checkpoint of step {spare[0].step} is deleted and saving is tried once more.")
    return _discard(spare[0].path, progress)


def rewind(folder: RunFolder, step: int, *, progress: Progress | None = None) -> int:
    """Go back to ``step``: drop later rows of the log and later (damaged, abandoned) checkpoints; how many rows.

    Every resume calls this after loading its checkpoint, so that no later one of another history is ever taken.
    """
    progress = progress or PythonWarnings()
    for entry in entries(folder):
        if entry.step > step and _discard(entry.path, progress):
            progress.note(f"Removed the checkpoint of step {entry.step}: the run goes on from step {step}.")
    return folder.truncate_metrics(step)


def _discard(path: Path, progress: Progress) -> bool:
    doomed = path.with_name(f"{path.name}{TEMPORARY}pruned")
    try:
        path.rename(doomed)
    except OSError as error:
        progress.warn(f"{path} could not be deleted ({error.strerror}); it will be tried again.")
        return False
    failpoint("mid-prune")
    return remove_tree(doomed, progress)
