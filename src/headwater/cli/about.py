"""``headwater models``, ``checks``, ``cite`` and ``completion``."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from headwater.cli.display import say

__all__ = ["checks", "cite", "completion", "models"]


def models(pattern: Annotated[str, Parameter(help="shell pattern over names and families")] = "*", /) -> None:
    """List the models, built in and from plug-ins."""
    from headwater.api import list_models
    from headwater.errors import UsageError

    found = list_models(pattern)
    if not found:
        raise UsageError(f"No model matches {pattern!r}.", hint="headwater models   lists all of them")
    width = max(len(entry.name) for entry in found)
    for entry in found:
        say(f"{entry.name:<{width}}  {entry.family:<14}  {entry.summary}")


def checks() -> None:
    """Report versions, devices, compiler, optional parts and writable folders: put this into a bug report."""
    say(f"headwater {version('headwater')}, Python {platform.python_version()}, {platform.platform()}")
    for package in ("torch", "numpy", "safetensors", "pydantic", "cyclopts", "pillow"):
        say(f"  {package:<14} {version(package)}")
    for package, extra in (
        ("polars", "table"),
        ("narwhals", "table"),
        ("scikit-learn", "table"),
        ("matplotlib", "report"),
        ("pyhmmer", "proteins"),
    ):
        try:
            say(f"  {package:<14} {version(package)}")
        except PackageNotFoundError:
            say(f"  {package:<14} not installed: pip install 'headwater[{extra}]'")
    import torch

    say(f"devices: cpu ({torch.get_num_threads()} threads of {os.cpu_count()} processors){_accelerators()}")
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    say(f"C++ compiler: {compiler or 'none: everything works, uncompiled'}")
    say(f"torchvision: {'present, not used' if importlib.util.find_spec('torchvision') else 'absent, not needed'}")
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    say(f"working folder: {'writable' if os.access(Path.cwd(), os.W_OK) else 'NOT writable'}, {free:.1f} GiB free")
    say(f"terminal: {sys.stdout.encoding}, {'interactive' if sys.stdout.isatty() else 'plain lines'}")


def _accelerators() -> str:
    import torch

    found = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return "".join(f", {name}" for name in found)


def cite(run: Path, /, *, bibtex: Annotated[bool, Parameter(negative=(), help="as BibTeX entries")] = False) -> None:
    """Print the papers that a run used.

    Args:
        run: Run folder.
    """
    from headwater.api import load
    from headwater.evaluation.cite import citations

    say(citations(load(run), bibtex=bibtex))


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print a completion script for your shell; it belongs where the shell looks for completions.

    For bash: ~/.local/share/bash-completion/completions/headwater
    """
    from headwater.cli.app import app

    say(app.generate_completion(shell=shell))
