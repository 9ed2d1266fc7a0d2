"""The reader of pictures in folders and zip archives: two threads, decoded once into a memory-mapped cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headwater.data.archive import SafeZip
from headwater.data.cache import CacheEntry, cached, content_key, release
from headwater.data.dataset import Reading, Skipped
from headwater.data.decode import Policy, RefusedPictureError, decode_picture, peek, quiet
from headwater.data.limits import Limits
from headwater.data.listing import Found, Listing, list_folder, list_zip
from headwater.data.schema import Label, Schema
from headwater.errors import DataError, UnsafeFileError
from headwater.progress import Progress
from headwater.settings import DataSettings

__all__ = ["read_images"]

_THREADS = 2
_AHEAD = 64
_PEEKS = 2_000
_RELEASE = 4_096
_IN_MEMORY_FILES = 5_000
_IN_MEMORY_BYTES = 64_000_000


class Decoded(NamedTuple):
    """Pictures, those that were passed over, and the place in the listing of those that were not."""

    storage: np.ndarray
    skipped: list[Skipped]
    kept: list[int]


def read_images(
    data: Any, settings: DataSettings, limits: Limits, progress: Progress, declared: Schema | None = None
) -> Reading:
    """Read all pictures below a folder or in a zip archive.

    The majority's size and channels (of up to 2,000 headers) are made everybody's; what that
    changes is noted. Sub-folders are labels where they are few and hold every picture;
    ``train``, ``valid`` and ``test`` at the top are splits.

    Raises:
        DataError: no pictures, or more unreadable ones than the settings allow.
        UnsafeFileError: an archive that is not safe to read.
    """
    path = Path(data)
    listing = list_folder(path, limits, progress) if path.is_dir() else list_zip(SafeZip(path, limits))
    listing.require(str(path))
    if declared is not None and settings.image_size is None:
        channels, height, width = declared.shape
        settings = settings.model_copy(update={"image_size": (height, width), "channels": channels})
    if settings.max_rows is not None:
        listing = Listing(listing.files[: settings.max_rows], listing.others, listing.refused)
    with quiet():
        policy, notes = _policy(listing, settings, limits)
    size = len(listing.files) * policy.channels * policy.height * policy.width
    shape = (len(listing.files), policy.channels, policy.height, policy.width)

    def decode(target: np.ndarray) -> tuple[list[Skipped], list[int]]:
        with quiet():
            return _decode_all(listing, policy, target, limits, progress)

    if len(listing.files) <= _IN_MEMORY_FILES and size <= _IN_MEMORY_BYTES:
        storage = np.empty(shape, dtype=np.uint8)
        skipped, kept = decode(storage)
        decoded = Decoded(storage[: len(kept)], skipped, kept)
    else:
        decoded = _through_cache(path, listing, policy, shape, limits, decode)
    _check_skipped(path, listing, decoded.skipped, settings)
    return _finish(path, listing, decoded, policy, notes, settings)


def _policy(listing: Listing, settings: DataSettings, limits: Limits) -> tuple[Policy, list[str]]:
    """Majority size and channels, and what becomes of the others."""
    step = max(1, len(listing.files) // _PEEKS)
    sizes: Counter[tuple[int, int]] = Counter()
    channels: Counter[int] = Counter()
    remarks: Counter[str] = Counter()
    seen = 0
    for file in listing.files[::step]:
        try:
            header = peek(file.read(), limits)
        except (RefusedPictureError, DataError, OSError):
            continue
        seen += 1
        sizes[header.height, header.width] += 1
        channels[header.channels] += 1
        remarks.update(header.remarks)
    if not seen:
        sizes[1, 1], channels[1] = 1, 1  # every file is unreadable: the count of skipped ones will say so
    height, width = sizes.most_common(1)[0][0]
    if settings.image_size is not None:
        height, width = settings.image_size
    chosen = settings.channels or channels.most_common(1)[0][0]
    of = f"of {seen} headers looked at" if step > 1 else f"of {seen}"
    notes = [f"{count} {of} are {remark}." for remark, count in remarks.items()]
    if sizes[height, width] < seen:
        notes.append(
            f"{seen - sizes[height, width]} {of} have another size than {height} x {width}: resized and cropped to it."
        )
    if channels[chosen] < seen:
        notes.append(
            f"{seen - channels[chosen]} {of} have another number of channels: made {Policy(chosen, 1, 1).mode}."
        )
    return Policy(chosen, height, width), notes


def _decode_all(
    listing: Listing, policy: Policy, target: np.ndarray, limits: Limits, progress: Progress
) -> tuple[list[Skipped], list[int]]:
    """Decode in order into the first rows of ``target``; which files they are, and which were passed over."""
    skipped: list[Skipped] = []
    kept: list[int] = []

    def one(file: Found) -> np.ndarray | str:
        try:
            return decode_picture(file.read(), policy, limits)
        except (RefusedPictureError, DataError) as error:
            return str(error)
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"

    with progress.phase("Decoding images", total=len(listing.files), unit="images") as phase:
        for i, result in enumerate(_ordered(one, listing.files)):
            if isinstance(result, str):
                skipped.append(Skipped(listing.files[i].name, result))
            else:
                target[len(kept)] = result
                kept.append(i)
            phase.advance()
            if len(kept) % _RELEASE == 0:
                release(target)
    return skipped, kept


def _ordered(work: Callable[[Found], np.ndarray | str], files: tuple[Found, ...]) -> Iterator[np.ndarray | str]:
    """Results in order from two threads that run at most a few files ahead."""
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(files), _AHEAD):
            yield from pool.map(work, files[start : start + _AHEAD])


def _through_cache(
    path: Path,
    listing: Listing,
    policy: Policy,
    shape: tuple[int, ...],
    limits: Limits,
    decode: Callable[[np.ndarray], tuple[list[Skipped], list[int]]],
) -> Decoded:
    stamps = [(str(path.resolve()), 0, 0), *((file.name, file.size, file.changed) for file in listing.files)]

    def fill(entry: CacheEntry) -> None:
        target = entry.create("storage", shape, np.dtype(np.uint8))
        skipped, kept = decode(target)
        target.flush()
        del target
        np.save(entry.folder / "kept.npy", np.array(kept, dtype=np.int64))
        if kept:
            entry.truncate("storage", len(kept))
        entry.write({"skipped": skipped})

    entry = cached(content_key(stamps, [policy.channels, policy.height, policy.width, limits.pixels]), fill)
    storage, kept = entry.load("storage"), entry.load("kept")
    assert storage is not None
    assert kept is not None
    return Decoded(storage, [Skipped(*item) for item in entry.read()["skipped"]], kept.tolist())


def _check_skipped(path: Path, listing: Listing, skipped: list[Skipped], settings: DataSettings) -> None:
    total = len(listing.files)
    if len(skipped) == total or len(skipped) > settings.skip * total:
        first = "; ".join(f"{item.record!r} {item.reason}" for item in skipped[:3])
        error = UnsafeFileError if all("pixels, more than" in item.reason for item in skipped) else DataError
        raise error(
            f"{path}: {len(skipped)} of {total} pictures cannot be read ({first}).",
            hint=f"Mend or remove them, or allow more than {settings.skip:.0%}: --set data.skip=0.5",
        )


def _finish(
    path: Path,
    listing: Listing,
    decoded: Decoded,
    policy: Policy,
    notes: list[str],
    settings: DataSettings,
) -> Reading:
    splits = listing.splits()
    label, labels = _labels(path, listing, decoded.kept, 1 if splits else 0, settings)
    refused = [Skipped(*item) for item in listing.refused]
    warnings = []
    if decoded.skipped:
        first = decoded.skipped[0]
        told = f"{len(decoded.skipped)} of {len(listing.files)} pictures were skipped"
        warnings.append(f"{told}; the first: {first.record!r} {first.reason}.")
    if refused:
        first = refused[0]
        warnings.append(f"{len(refused)} entries were not opened; the first: {first.record!r} {first.reason}.")
    kept_splits = np.array([splits[i] for i in decoded.kept]) if splits else np.array([], dtype=str)
    schema = Schema(
        kind="images",
        shape=(policy.channels, policy.height, policy.width),
        dtype="uint8",
        levels=256,
        layout="CHW",
        label=label,
        source="folder" if path.is_dir() else "zip",
    )
    fixed = {str(name): np.flatnonzero(kept_splits == name) for name in np.unique(kept_splits)}
    return Reading(schema, decoded.storage, labels, fixed, (*decoded.skipped, *refused), notes, warnings)


def _labels(
    path: Path, listing: Listing, kept: list[int], depth: int, settings: DataSettings
) -> tuple[Label | None, np.ndarray | None]:
    """Sub-folders as classes, where they are few and hold every picture."""
    if settings.label == "none":
        return None, None
    folders = listing.folders(depth)
    classes = sorted(set(folders or ()))
    if folders is not None and 2 <= len(classes) <= max(2, min(1_000, len(folders) // 2)):
        code = {name: i for i, name in enumerate(classes)}
        labels = np.array([code[folders[i]] for i in kept], dtype=np.int64)
        return Label(name="folder", classes=tuple(classes), source="String"), labels
    if settings.label is not None:
        raise DataError(
            f"{path}: pictures have no label {settings.label!r}.", hint="Put each class into a folder of its own."
        )
    return None, None
