"""What ``training.precision=reduced`` costs in likelihood and gives in speed.

    python -m benchmarks.reduced_products ../shared/data/bsds300/bsds300_jpg.zip

Per data set and seed a flow is fitted twice, as many steps with the same seed: with float32 products and with reduced
ones (factors rounded to bfloat16 on a CPU). Both are scored in float32 on rows held out. Training is chaotic, so that
the difference of two runs is noise around what the rounding does: the figure is its mean over the seeds with its
standard error. ``scored`` is the other, simpler question: the same weights scored with either kind of product.
Steps a second are of the uncompiled step, and the runs come one after another.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import headwater
from benchmarks.bsds300 import write_patches
from benchmarks.densities import TOYS
from benchmarks.record import write
from headwater.rng import Rng
from headwater.runs.run import Run
from headwater.training.precision import products

_ROWS, _TEST_ROWS = 100_000, 20_000
_STEPS = {"moons": 1000, "checkerboard": 1000, "bsds300": 1500}


def rows(data: str, patches: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows held out."""
    if data == "bsds300":
        with np.load(patches, allow_pickle=False) as archive:
            return archive["x_train"], archive["x_valid"]
    toy = TOYS[data]
    return toy.sample(_ROWS, Rng.of(1, _ROWS)).numpy(), toy.sample(_TEST_ROWS, Rng.of(2, _TEST_ROWS)).numpy()


def fit(data: str, train: np.ndarray, precision: str, seed: int, folder: Path) -> tuple[Run, float]:
    """A run and its steps a second."""
    began = time.monotonic()
    run = headwater.fit(
        train,
        "nsf",
        out=folder / precision,
        steps=_STEPS[data],
        seed=seed,
        settings={"training": {"precision": precision, "compile": "off"}, "data": {"label": "none"}},
    )
    return run, _STEPS[data] / (time.monotonic() - began)


def compare(data: str, seed: int, patches: Path) -> dict[str, float]:
    """One pair of runs."""
    train, test = rows(data, patches)
    with tempfile.TemporaryDirectory() as folder:
        plain, plain_rate = fit(data, train, "float32", seed, Path(folder))
        reduced, reduced_rate = fit(data, train, "reduced", seed, Path(folder))
        nats = plain.log_prob(test).value.double().mean().item()
        other = reduced.log_prob(test).value.double().mean().item()
        with products("reduced"):
            rounded = plain.log_prob(test).value.double().mean().item()
    return {
        "float32_nats": round(nats, 4),
        "trained": round(other - nats, 4),
        "scored": round(rounded - nats, 4),
        "speed": round(reduced_rate / plain_rate, 3),
    }


def main() -> None:
    """All pairs, and what they say together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", default=",".join(_STEPS))
    parser.add_argument("--out", type=Path, default=Path("runs"))
    chosen = parser.parse_args()
    patches = chosen.out / "bsds300.npz"
    if "bsds300" in chosen.data and not patches.exists():
        chosen.out.mkdir(exist_ok=True)
        write_patches(chosen.photographs, patches)
    figures: dict[str, Any] = {}
    for data in chosen.data.split(","):
        pairs = [compare(data, seed, patches) for seed in range(chosen.seeds)]
        trained = [pair["trained"] for pair in pairs]
        figures[data] = {
            "steps": _STEPS[data],
            "trained_mean": round(statistics.mean(trained), 4),
            "trained_stderr": round(statistics.stdev(trained) / len(trained) ** 0.5, 4) if len(trained) > 1 else None,
            "scored_largest": max((pair["scored"] for pair in pairs), key=abs),
            "speed_median": statistics.median(pair["speed"] for pair in pairs),
            "pairs": pairs,
        }
        print(data, {key: value for key, value in figures[data].items() if key != "pairs"}, flush=True)
        write("reduced-products", "python -m benchmarks.reduced_products DATA", figures)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
