"""The manifest of a checkpoint: which files, how long, which sha256, who wrote it. No manifest, no checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field

from headwater.config import Config
from headwater.errors import CheckpointError, ConfigError
from headwater.runs.files import json_bytes, read_json, write_new

__all__ = [
    "FORMAT",
    "FileRecord",
    "Manifest",
    "NewerFormatError",
    "describe",
    "read_manifest",
    "verify",
    "write_manifest",
]

FORMAT = 1
_NAME = r"^[a-z][a-z0-9_-]{0,63}\.(safetensors|json)$"


class FileRecord(Config):
    """One file of a checkpoint."""

    name: str = Field(pattern=_NAME, description="file name inside the checkpoint's folder")
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="hash of the content")


class Manifest(Config):
    """What ``manifest.json`` says."""

    kind: Literal["headwater checkpoint"] = "headwater checkpoint"
    format: int = Field(FORMAT, ge=1, description="version of this layout")
    headwater: str = Field("", max_length=100, description="version that wrote it")
    torch: str = Field("", max_length=100, description="PyTorch that wrote it")
    threads: int = Field(1, ge=1, description="threads it computed with")
    step: int = Field(ge=0, description="optimizer steps done")
    best: bool = Field(False, description="whether it was the best so far on held-out data")
    files: tuple[FileRecord, ...] = Field(description="everything but this manifest")

    @property
    def digest(self) -> str:
        """One hash of all files: the same content has the same digest, whenever it was written."""
        content = json.dumps(sorted((file.name, file.sha256) for file in self.files))
        return hashlib.sha256(content.encode()).hexdigest()


def describe(step: int, files: Collection[FileRecord], *, best: bool) -> Manifest:
    """The manifest of files written by this process."""
    return Manifest(
        headwater=version("headwater"),
        torch=torch.__version__,
        threads=torch.get_num_threads(),
        step=step,
        best=best,
        files=tuple(files),
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` durably; from then on the folder is complete."""
    write_new(folder / "manifest.json", json_bytes(manifest.model_dump(mode="json")))


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        CheckpointError: missing, damaged, or of a newer format (says which version reads it).
    """
    values = read_json(folder / "manifest.json", limit=2**20)
    _refuse_newer(values, folder)
    try:
        return Manifest.parse(values, where=str(folder / "manifest.json"))
    except ConfigError as error:
        raise CheckpointError(f"{folder} has a damaged manifest: {error.message}") from None


class NewerFormatError(CheckpointError):
    """Written by a newer Headwater: not damaged, so nothing older is taken in its place (exit 3)."""


def _refuse_newer(values: dict[str, Any], folder: Path) -> None:
    layout = values.get("format")
    if type(layout) is not int:
        raise CheckpointError(f"{folder} has a damaged manifest: its format is {str(layout)[:20]!r}.")
    if layout > FORMAT:
        author = str(values.get("headwater", "a newer version"))[:40]
        raise NewerFormatError(
            f"{folder} was made by headwater {author}, needs headwater >= {author} (checkpoint format {layout}; "
            f"this is headwater {version('headwater')}, which reads formats up to {FORMAT}).",
            hint=f"Upgrade with: pip install 'headwater>={author}'",
        )


def verify(folder: Path, manifest: Manifest, *, only: Collection[str] | None = None) -> None:
    """Check that every file is there, as long as recorded and, for those in ``only``, of the recorded hash.

    Raises:
        CheckpointError: names the file and what differs.
    """
    for record in manifest.files:
        path = folder / record.name
        try:
            size = path.stat().st_size
            if size != record.size:
                raise CheckpointError(f"{path} has {size} bytes, its manifest says {record.size}.")
            if only is not None and record.name not in only:
                continue
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
        if found != record.sha256:
            raise CheckpointError(
                f"{path} is damaged: its sha256 is {found[:12]}, its manifest says {record.sha256[:12]}."
            )
