"""What a killed writer leaves behind, recognisable by ``.tmp-`` in its name, and how it is removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from headwater.progress import Progress

__all__ = ["REPLACED", "TEMPORARY", "remove_leftovers", "remove_tree"]

TEMPORARY = ".tmp-"
REPLACED = ".replaced-"


def remove_leftovers(run: Path, progress: Progress) -> list[str]:
    """Remove unfinished files and folders of a run; only whoever holds its lock may call this.

    Returns:
        What was removed, relative to the run. What could not be removed is warned about.
    """
    removed: list[str] = []
    for place in (run, run / "checkpoints", run / "samples"):
        entries = sorted(place.iterdir()) if place.is_dir() else []
        left = [entry for entry in entries if TEMPORARY in entry.name]
        removed += [str(entry.relative_to(run)) for entry in left if remove_tree(entry, progress)]
    return removed + _settle_replaced(run, progress)


def _settle_replaced(run: Path, progress: Progress) -> list[str]:
    """A checkpoint saved again was first moved aside: drop the old one, or move it back if the new one never came."""
    removed = []
    for aside in sorted((run / "checkpoints").glob(f"*{REPLACED}*")):
        final = aside.with_name(aside.name.split(REPLACED)[0])
        if not final.exists():
            aside.rename(final)
        elif remove_tree(aside, progress):
            removed.append(str(aside.relative_to(run)))
    return removed


def remove_tree(path: Path, progress: Progress) -> bool:
    """Remove a file or folder; a failure is a warning, for the next prune tries again."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        progress.warn(f"{path} could not be deleted ({error.strerror}); it will be tried again.")
        return False
    return True
