"""Headwater: deep generative models on a person's own data, under one contract.

>>> import headwater
>>> sorted(entry.name for entry in headwater.list_models("baseline"))
['gaussian-mixture', 'independent', 'kernel-density', 'sites']

The functions are imported on first use, so that ``import headwater`` and
``headwater --help`` stay instant and need no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headwater.api import compare, evaluate, fit, inspect, list_models, load, plot, resume
    from headwater.runs.run import Run

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "compare", "evaluate", "fit", "inspect", "list_models", "load", "plot", "resume"]


def __getattr__(name: str) -> object:
    if name == "Run":
        from headwater.runs.run import Run

        return Run
    if name in __all__:
        from headwater import api

        return getattr(api, name)
    raise AttributeError(f"module 'headwater' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
