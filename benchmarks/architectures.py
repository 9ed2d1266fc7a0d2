"""Every flow of rows at equal minutes: four densities of known entropy, and patches of photographs.

    python -m benchmarks.architectures ../shared/data/bsds300/bsds300_jpg.zip [--minutes 1.4] [--bsds-minutes 3]

Each cell is ``headwater.fit`` with the architecture's defaults in a process of its own with one thread; ``--workers``
cells run at a time, one per core. On the 2-D densities the figure is ``mean(log p_true - log p_model)`` over 20,000
fresh draws: nats above the entropy. On BSDS300 it is the mean log-likelihood of 20,000 patches of the test
photographs, the same for all, whose standard error (about 0.45 nats) says nothing of the differences, since
these are paired. Beside it parameters, steps a second (compiling included) and samples a second (the second of two
batches of 512).

``results/architectures.json`` (``--name``) is written after each cell; cells that it has at the same minutes are kept,
unless they failed, so that a table begun is gone on with. ``--markdown`` prints the table of the docs from it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import headwater
from benchmarks.bsds300 import write_patches
from benchmarks.densities import TOYS
from benchmarks.record import RESULTS, write
from headwater.errors import HeadwaterError
from headwater.rng import Rng

BSDS = "bsds300"
_NAME = "architectures"
ARCHITECTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "nsf": ("nsf", {}),
    "nsf, autoregressive": ("nsf", {"kind": "autoregressive"}),
    "nsf, coupling": ("nsf", {"kind": "coupling"}),
    "spline, linear": ("spline", {"spline": "linear"}),
    "spline, quadratic": ("spline", {"spline": "quadratic"}),
    "spline, cubic": ("spline", {"spline": "cubic"}),
    "flowpp": ("flowpp", {}),
    "realnvp": ("realnvp", {}),
    "nice": ("nice", {}),
    "maf": ("maf", {}),
    "iaf": ("iaf", {}),
    "tarflow": ("tarflow", {}),
    "naf": ("naf", {}),
    "naf, deep": ("naf", {"layers": 2}),
    "unaf": ("unaf", {}),
    "bnaf": ("bnaf", {}),
    "sos": ("sos", {}),
    "bernstein": ("bernstein", {}),
    "gaussianization": ("gaussianization", {}),
    "residual": ("residual", {}),
    "ffjord": ("ffjord", {}),
    "otflow": ("otflow", {}),
    "flow-mixture": ("flow-mixture", {}),
    "planar": ("planar", {}),
    "radial": ("radial", {}),
    "sylvester": ("sylvester", {}),
}
_ROWS, _TEST_ROWS = 100_000, 20_000
_SAMPLES = 512


class Cell(NamedTuple):
    """One architecture on one data set."""

    name: str
    data: str
    minutes: float
    patches: str
    seed: int


def measure(cell: Cell) -> dict[str, Any]:
    """Fit, score, sample; the reason where one of them fails."""
    torch.set_num_threads(1)
    try:
        return _measure(cell)
    except HeadwaterError as error:
        return {"failure": error.message, "minutes": cell.minutes}


def _measure(cell: Cell) -> dict[str, Any]:
    model, settings = ARCHITECTURES[cell.name]
    train, test, truth = _rows(cell)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        run = headwater.fit(
            train,
            model,
            out=Path(folder) / "run",
            minutes=cell.minutes,
            seed=cell.seed,
            settings={"model": settings, "data": {"label": "none"}},
        )
        trained = time.monotonic() - began
        score = run.log_prob(test)
        values = score.value.double()
        values = values if truth is None else truth - values
        return {
            "nats" if truth is None else "gap_nats": round(values.mean().item(), 4),
            "stderr": round((values.std() / len(values) ** 0.5).item(), 4),
            "kind": score.kind,
            "minutes": cell.minutes,
            "training_seconds": round(trained, 1),
            "steps": run.step,
            "steps_per_second": round(run.step / trained, 1),
            "samples_per_second": _sampling_rate(run),
            "parameters": sum(p.numel() for p in run.model.parameters()),
        }


def _is_there(found: dict[str, Any], cell: Cell) -> bool:
    return found.get("minutes") == cell.minutes and "failure" not in found


def _rows(cell: Cell) -> tuple[np.ndarray, np.ndarray, torch.Tensor | None]:
    """Rows to fit, rows to score, and the true log-density of these where it is known."""
    if cell.data == BSDS:
        with np.load(cell.patches, allow_pickle=False) as archive:
            rows = np.random.default_rng(cell.seed).permutation(len(archive["x_test"]))[:_TEST_ROWS]
            return archive["x_train"], archive["x_test"][rows], None
    toy = TOYS[cell.data]
    test = toy.sample(_TEST_ROWS, Rng.of(2000 + cell.seed, _TEST_ROWS))
    return toy.sample(_ROWS, Rng.of(1000 + cell.seed, _ROWS)).numpy(), test.numpy(), toy.log_prob(test.double())


def _sampling_rate(run: Any) -> float:
    """Samples a second, after one batch of warming up."""
    run.sample(_SAMPLES, seed=0)
    began = time.monotonic()
    run.sample(_SAMPLES, seed=1)
    return float(f"{_SAMPLES / (time.monotonic() - began):.3g}")


def markdown(figures: dict[str, dict[str, Any]]) -> str:
    """The table: gaps on the densities, nats on the patches, and what the patches took."""
    toys = list(TOYS)
    lines = [
        "| flow | " + " | ".join(toys) + " | BSDS300 | parameters | steps/s | samples/s |",
        "|---" * (len(toys) + 5) + "|",
    ]
    for name, cells in figures.items():
        patches = cells.get(BSDS, {})
        row = [_shown(cells.get(toy, {}), "gap_nats", "{:.3f}") for toy in toys]
        row += [_shown(patches, "nats", "{:.1f}"), _shown(patches, "parameters", "{:,}")]
        row += [_shown(patches, "steps_per_second", "{:g}"), _shown(patches, "samples_per_second", "{:,g}")]
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _shown(cell: dict[str, Any], key: str, form: str) -> str:
    return form.format(cell[key]) if key in cell else cell.get("failure", "")


def main() -> None:
    """Measure the cells that are missing; write after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--minutes", type=float, default=1.4)
    parser.add_argument("--bsds-minutes", type=float, default=3.0)
    parser.add_argument("--only", default="", help="architectures, separated by semicolons")
    parser.add_argument("--data", default=",".join((*TOYS, BSDS)))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default=_NAME, help="of the result file")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--markdown", action="store_true")
    chosen = parser.parse_args()
    path = RESULTS / f"{chosen.name}.json"
    names = chosen.only.split(";") if chosen.only else list(ARCHITECTURES)
    figures: dict[str, dict[str, Any]] = {name: {} for name in names}
    if path.exists():
        figures |= json.loads(path.read_text(encoding="utf-8"))["figures"]
    if chosen.markdown:
        print(markdown(figures))
        return
    patches = chosen.out / "bsds300.npz"
    if not patches.exists():
        chosen.out.mkdir(exist_ok=True)
        write_patches(chosen.photographs, patches)
    cells = [
        Cell(name, data, chosen.bsds_minutes if data == BSDS else chosen.minutes, str(patches), chosen.seed)
        for data in chosen.data.split(",")
        for name in names
    ]
    missing = [cell for cell in cells if not _is_there(figures[cell.name].get(cell.data, {}), cell)]
    given = ["--minutes", f"{chosen.minutes:g}", "--bsds-minutes", f"{chosen.bsds_minutes:g}"]
    if chosen.name != _NAME:  # the table itself may be gone on with cell by cell: that is not its command
        given += ["--data", chosen.data, "--only", ";".join(names), "--name", chosen.name]
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # of the cells' processes
    with ProcessPoolExecutor(chosen.workers, get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = {pool.submit(measure, cell): cell for cell in missing}
        for done in as_completed(waiting):
            cell = waiting[done]
            figures[cell.name][cell.data] = done.result()
            print(f"{cell.name:20} {cell.data:16} {figures[cell.name][cell.data]}", flush=True)
            write(chosen.name, f"python -m benchmarks.architectures DATA {shlex.join(given)}", figures)


if __name__ == "__main__":
    main()
