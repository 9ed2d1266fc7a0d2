"""Whether torch.compile can work here."""

from __future__ import annotations

import importlib.util
import os
import shutil

import torch

__all__ = ["missing_compiler"]

_COMPILERS = ("c++", "g++", "clang++", "cl")


def missing_compiler(device: torch.device) -> str:
    """What torch.compile lacks for this device, as the end of a sentence, or "" if nothing."""
    if device.type == "cpu" and not any(
        shutil.which(name) for name in (os.environ.get("CXX", ""), *_COMPILERS) if name
    ):
        return "no C++ compiler was found"
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if device.type not in ("cpu", "cuda"):
        return f"torch.compile is not used on {device.type}"
    return ""
