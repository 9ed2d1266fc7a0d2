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
    "glow": {"steps": 1, "width": 8, "components": 2, "embedding": 4},
    "gan": {"latent": 8, "width": 16, "blocks": 1},
    "vae": {"latent": 3, "width": 16, "mixtures": 3},
    "flow-matching": {"width": 16, "blocks": 1, "features": 1, "channels": 8, "levels": 2, "embedding": 8},
    "idf": {"couplings": 2, "levels": 2, "width": 16, "blocks": 1, "mixtures": 3, "embedding": 4},
    "argmax": {"transforms": 2, "width": 16, "blocks": 1, "embedding": 4},
    "made": {"width": 16, "blocks": 1, "mixtures": 4},
    "pixel-transformer": {"width": 16, "depth": 1, "heads": 2, "patch_width": 16, "mixtures": 3},
    "independent": {"components": 8, "cells": 64},
    "gaussian-mixture": {"components": 4},
    "kernel-density": {"max_points": 128},
}

STACKS: dict[str, dict[str, Any]] = {  # flows of one skeleton, whose bijections have laws of their own: fewer events
    **{name: {"transforms": 2, "width": 16, "blocks": 1} for name in ("realnvp", "nice", "maf", "iaf", "sos")},
    "spline": {"transforms": 2, "width": 16, "blocks": 1, "bins": 6},
    "flowpp": {"transforms": 2, "width": 16, "blocks": 1, "components": 3},
    "naf": {"transforms": 2, "width": 16, "blocks": 1, "layers": 2, "sigmoids": 4},
    "unaf": {"transforms": 1, "width": 16, "blocks": 1, "summary": 4, "integrand": 8, "nodes": 16},
    "bernstein": {"transforms": 2, "width": 16, "blocks": 1, "degree": 8},
    "bnaf": {"transforms": 1, "hidden": 4},
    "tarflow": {"width": 16, "depth": 1, "heads": 2, "inner": 8, "bins": 4, "marginal": 4, "blocks": 2},
    "planar": {"transforms": 4},
    "radial": {"transforms": 4},
    "sylvester": {"transforms": 2},
    "ffjord": {"width": 8, "layers": 2, "features": 1, "steps": 2},
    "otflow": {"width": 8, "steps": 2},
    "residual": {"transforms": 2, "width": 8},
    "gaussianization": {"transforms": 2, "components": 6},
    "flow-mixture": {"components": 2, "component": {"name": "realnvp", "transforms": 1, "width": 8, "blocks": 1}},
    "manifold": {"embedding": 4, "transforms": 2, "width": 16, "blocks": 1, "bins": 4},
}
FEW_OF = {"argmax": {("line", False), ("alphabet", True), ("table", True)}}
FEW = {("line", False), ("plane", False), ("vector", True)}
FEW |= {(name, False) for name in ("circle", "sphere", "simplex")} | {("mixed", True)}
BASES = {  # any flow takes any base
    "student-t": {("line", False)},
    "mixture": {("line", False), ("vector", True)},
    "uniform": {("line", False)},
    "resampled": {("line", False), ("vector", True)},
}
OTHER_SHAPES: dict[str, dict[str, Any]] = {  # what the default leaves for larger events
    "nsf": {"kind": "coupling"},
    "flow-matching": {"network": "unet"},
}


def every_case() -> dict[str, Case]:
    """The cases of all models by name."""
    found: dict[str, Case] = {}
    for entry in names():
        small = STACKS.get(entry.name) or SMALL.get(entry.name, {})
        few = FEW_OF.get(entry.name, FEW if entry.name in STACKS else None)
        for case in supported_cases(load_class(entry.name), small):
            if few is None or (case.name, case.context.size > 0) in few:
                found[str(case)] = case
    for base, few in BASES.items():
        for case in supported_cases(load_class("realnvp"), STACKS["realnvp"] | {"base": base}):
            if (case.name, case.context.size > 0) in few:
                found[f"{case}, {base}"] = case
    for name, setting in OTHER_SHAPES.items():
        for case in supported_cases(load_class(name), SMALL[name] | setting):
            found[f"{case}, {setting}"] = case
    return found


CASES = every_case()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_law(law: str, case: Case) -> None:
    LAWS[law](case)
