"""2-D densities with known entropy: how many nats each density model is above it, at two minutes each.

    python benchmarks/densities.py [--minutes 2] [--models nsf,flow-matching,made] [--seed 0]

For each density 100,000 rows are drawn and given to ``headwater.fit`` with the model's
defaults and a budget in minutes. The gap is ``mean(log p_true - log p_model)`` over
20,000 fresh draws (an estimate of the Kullback-Leibler divergence), with its standard error.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import headwater
from benchmarks.record import write
from headwater.distributions.toys import Checkerboard, EightGaussians, Moons, Rings, Toy
from headwater.rng import Rng

GOALS = {"nsf": 0.03, "flow-matching": 0.05, "made": 0.05}
TOYS: dict[str, Toy] = {
    "moons": Moons(),
    "rings": Rings(),
    "eight-gaussians": EightGaussians(),
    "checkerboard": Checkerboard(),
}


def measure(toy: Toy, model: str, minutes: float, seed: int, rows: int, test_rows: int) -> dict[str, Any]:
    """Fit one model to one density and compare it with the truth."""
    x = toy.sample(rows, Rng.of(1000 + seed, rows)).numpy()
    test = toy.sample(test_rows, Rng.of(2000 + seed, test_rows))
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run = headwater.fit(x, model, out=Path(folder) / "run", minutes=minutes, seed=seed)
        seconds = time.monotonic() - began
        score = run.log_prob(test.numpy())
        gap = toy.log_prob(test.double()) - score.value.double()
        return {
            "gap_nats": round(gap.mean().item(), 4),
            "stderr": round((gap.std() / len(gap) ** 0.5).item(), 4),
            "entropy": round(toy.entropy, 4),
            "kind": score.kind,
            "protocol": dict(score.protocol),
            "steps": run.step,
            "training_seconds": round(seconds, 1),
            "parameters": sum(p.numel() for p in run.model.parameters()),
            "goal": GOALS.get(model),
        }


def main() -> None:
    """Run all pairs and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1.9)
    parser.add_argument("--models", default="nsf,flow-matching,made")
    parser.add_argument("--toys", default=",".join(TOYS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--test-rows", type=int, default=20_000)
    parser.add_argument("--name", default="densities")
    arguments = parser.parse_args()
    figures: dict[str, dict[str, Any]] = {}
    for model in arguments.models.split(","):
        for name in arguments.toys.split(","):
            row = measure(TOYS[name], model, arguments.minutes, arguments.seed, arguments.rows, arguments.test_rows)
            figures.setdefault(model, {})[name] = row
            print(f"{model:14} {name:16} {row['gap_nats']:+.4f} +- {row['stderr']:.4f} nats, {row['steps']} steps, "
                  f"{row['training_seconds']} s", flush=True)  # fmt: skip
            command = f"python -m benchmarks.densities --minutes {arguments.minutes} --seed {arguments.seed}"
            write(arguments.name, command, figures)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
