"""The laws of the contract over every registered model, on every small case it accepts."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.models.registry import load_class, names
from headwater.testing import LAWS
from headwater.testing.cases import Case
from headwater.testing.check import supported_cases

SMALL: dict[str, dict[str, Any]] = {
    "nsf": {"transforms": 2, "width": 16, "blocks": 1},
    "gan": {"latent": 8, "width": 16, "blocks": 1},
    "vae": {"latent": 3, "width": 16, "mixtures": 3},
    "flow-matching": {"width": 16, "blocks": 1, "features": 1, "channels": 8, "levels": 2, "embedding": 8},
    "made": {"width": 16, "blocks": 1, "mixtures": 4},
    "pixel-transformer": {"width": 16, "depth": 1, "heads": 2, "patch_width": 16, "mixtures": 3},
    "independent": {"components": 8, "cells": 64},
    "gaussian-mixture": {"components": 4},
    "kernel-density": {"max_points": 128},
}

OTHER_SHAPES: dict[str, dict[str, Any]] = {  # what the default leaves for larger events
    "nsf": {"kind": "coupling"},
    "flow-matching": {"network": "unet"},
}

CASES = {
    str(case): case for entry in names() for case in supported_cases(load_class(entry.name), SMALL.get(entry.name, {}))
} | {
    f"{case}, {setting}": case
    for name, setting in OTHER_SHAPES.items()
    for case in supported_cases(load_class(name), SMALL[name] | setting)
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("law", LAWS)
def test_law(law: str, case: Case) -> None:
    LAWS[law](case)
