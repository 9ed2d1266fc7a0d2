"""Recipes: settings with the figure they reach on named data in a named budget.

    python -m benchmarks.recipes bsds300 ../shared/data/bsds300/bsds300_jpg.zip
    python -m benchmarks.recipes mnist-tarflow ../shared/data/mnist/mnist.npz
    python -m benchmarks.recipes mnist-glow ../shared/data/mnist/mnist.npz

Each trains as ``headwater fit`` does, for as many minutes on two cores as the recipe says, without looking at the test
split; then scores all of it once. ``results/recipe-NAME.json`` has the figure, the goal, and the curve of the
validation split over the minutes. ``--minutes`` and ``--set section.key=value`` try something else (and then
``--split valid`` scores the validation split, and nothing is written). ``--resume`` goes on where an interrupted run of
the recipe stood, for what is left of its minutes.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch

import headwater
from benchmarks.bsds300 import write_patches
from benchmarks.record import write
from headwater.runs.folder import RunFolder
from headwater.runs.run import Run


class Recipe(NamedTuple):
    """What is trained, for how long, and what it should reach (nats: at least; bits per dimension: at most)."""

    model: str
    minutes: float
    settings: dict[str, dict[str, Any]]
    unit: str
    goal: float


RECIPES = {
    "bsds300": Recipe(
        "nsf",
        60.0,
        {
            "data": {"label": None},
            "model": {"kind": "coupling", "transforms": 8, "width": 256, "dropout": 0.1},
            "training": {"precision": "reduced"},
        },
        "nats",
        156.5,
    ),
    "mnist-tarflow": Recipe("tarflow", 10.0, {"data": {"label": "none"}}, "bits/dim", 1.35),
    "mnist-glow": Recipe("glow", 10.0, {"data": {"label": "none"}}, "bits/dim", 1.35),
}


def with_changes(settings: dict[str, dict[str, Any]], changes: list[str]) -> dict[str, dict[str, Any]]:
    """The settings with each ``section.key=value`` put in; values are JSON, or else words."""
    changed = {section: dict(keys) for section, keys in settings.items()}
    for change in changes:
        name, _, text = change.partition("=")
        section, _, key = name.partition(".")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        changed.setdefault(section, {})[key] = value
    return changed


def curve(run: Run, unit: str, score: float) -> list[dict[str, float]]:
    """The validation split over the minutes, as the run logged it on a part of the split.

    The log is in the units of the encoding, whose log-determinant is the same for all: the score of the whole split
    in the data's units, of the checkpoint that was scored, says how much it is.
    """
    rows = [row for row in RunFolder(run.path).read_metrics() if row.get("kind") == "valid"]
    factor = per_unit(math.prod(run.model.event.shape), unit)
    scored = next(row["nll"] for row in rows if row["step"] == run.step)
    return [
        {
            "minutes": round(row["time"]["seconds"] / 60, 2),
            "step": row["step"],
            unit: round(score - factor * (row["nll"] - scored), 4),
        }
        for row in rows
    ]


def is_of(run: Run, recipe: Recipe) -> bool:
    """Whether a run has the recipe's model, minutes and settings: one begun with changes is not the recipe's."""
    settings = run.settings.model_dump(mode="json")
    wanted = {**recipe.settings, "model": {"name": recipe.model, **recipe.settings.get("model", {})}}
    same = all(settings[section][key] == value for section, keys in wanted.items() for key, value in keys.items())
    return same and settings["training"]["minutes"] == recipe.minutes


def seconds_of(run: Run) -> float:
    """The seconds of training, all parts of an interrupted run together."""
    return max(row["time"]["seconds"] for row in RunFolder(run.path).read_metrics() if "time" in row)


def per_unit(size: int, unit: str) -> float:
    """What a nat is in the unit."""
    return 1.0 if unit == "nats" else -1 / (size * math.log(2))


def score(run: Run, split: str, unit: str) -> dict[str, Any]:
    """The mean log-likelihood of a whole split in the data's units."""
    dataset = run.dataset()
    raw, labels = dataset.rows(dataset.splits[split])
    result = run.score_raw(raw, labels)
    values = result.value.double() * per_unit(math.prod(raw.shape[1:]), unit)
    return {
        "split": split,
        "n": len(values),
        "unit": unit,
        "value": round(values.mean().item(), 4),
        "standard_error": round((values.std() / len(values) ** 0.5).item(), 4),
        "kind": result.kind,
        "protocol": dict(result.protocol),
    }


def main() -> None:
    """Fit, score, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=tuple(RECIPES))
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    chosen = parser.parse_args()
    if chosen.resume and (chosen.set or chosen.minutes is not None):
        parser.error("--resume goes on with the settings that the run was begun with.")
    recipe = RECIPES[chosen.recipe]
    data = chosen.data
    if chosen.recipe == "bsds300":
        data = chosen.out / "bsds300.npz"
        if not data.exists():
            chosen.out.mkdir(exist_ok=True)
            write_patches(chosen.data, data)
    out = chosen.out / f"recipe-{chosen.recipe}"
    if chosen.resume:
        run = headwater.resume(out)
    else:
        run = headwater.fit(
            data,
            recipe.model,
            out=out,
            minutes=chosen.minutes or recipe.minutes,
            seed=chosen.seed,
            settings=with_changes(recipe.settings, chosen.set),
        )
    figures = score(run, chosen.split, recipe.unit) | {
        "goal": recipe.goal,
        "training_seconds": round(seconds_of(run), 1),
        "steps": run.step,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "settings": recipe.settings,
        "validation_curve": curve(run, recipe.unit, score(run, "valid", recipe.unit)["value"]),
    }
    print({key: value for key, value in figures.items() if key != "validation_curve"})
    if chosen.split == "test" and is_of(run, recipe):
        write(f"recipe-{chosen.recipe}", f"python -m benchmarks.recipes {chosen.recipe} DATA", figures)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
