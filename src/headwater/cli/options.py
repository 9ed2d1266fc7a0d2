"""Options that several commands share: one spelling, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["ConfigFile", "Device", "Epochs", "Label", "Minutes", "Out", "Quiet", "Seed", "Set", "Steps"]

Label = Annotated[str | None, Parameter(help="label to condition on: a column, an array's key, folder, or none")]
Steps = Annotated[int | None, Parameter(help="budget in optimizer steps")]
Epochs = Annotated[float | None, Parameter(help="budget in passes over the training data")]
Minutes = Annotated[float | None, Parameter(help="budget in minutes")]
Seed = Annotated[int | None, Parameter(help="seed of weights, data order and noise")]
Device = Annotated[str | None, Parameter(help="auto, cpu, cuda, cuda:1 or mps")]
ConfigFile = Annotated[Path | None, Parameter(name="--config", help="TOML file of settings")]
Out = Annotated[Path | None, Parameter(name=["--out", "-o"], help="where to write")]
Quiet = Annotated[bool, Parameter(negative=(), help="only warnings and the result")]
Set = Annotated[
    tuple[str, ...],
    Parameter(name="--set", negative=(), help="any setting: section.key=value; may be repeated", show_default=False),
]
