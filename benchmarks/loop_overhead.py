"""What the training loop costs over a bare PyTorch loop of the same model on the same batches.

    python -m benchmarks.loop_overhead [--model nsf] [--rows 20000] [--columns 20] [--steps 200] [--rounds 5]

Both loops index rows, encode them, compute the loss, differentiate, clip and step AdamW. Ours also checks
for NaN, averages the weights, sums the figures and writes the log. They alternate, round by round, in one
process; the median ratio goes to ``results/``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import write
from headwater.data import open_dataset
from headwater.data.codec import Codec
from headwater.data.dataset import Dataset
from headwater.models.base import Batch, DataInitialized
from headwater.models.registry import load_class
from headwater.rng import Rng
from headwater.runs.build import build_model
from headwater.runs.folder import RunFolder
from headwater.settings import RunSettings
from headwater.training.fit import fit_run
from headwater.training.settings import merge_settings


def bare(dataset: Dataset, codec: Codec, settings: RunSettings) -> float:
    """Seconds of the plainest loop that trains this model."""
    torch.manual_seed(settings.seed)
    model = build_model(settings.model, codec.event, codec.context)
    rows, size = dataset.splits["train"], settings.training.batch_size
    rate = settings.optimizer.lr
    optimizers = {p.name: torch.optim.AdamW(p.parameters, lr=rate, fused=True) for p in model.players()}
    shuffled = np.random.default_rng(0).choice(rows, (settings.training.steps or 1, size))
    if isinstance(model, DataInitialized):
        raw, _ = dataset.rows(rows[:1024])
        x, _ = codec.encode(raw, Rng.of(0, len(raw)))
        with torch.no_grad():
            model.initialize(Batch(x), Rng.of(1, len(raw)))
    start = time.perf_counter()
    for step, chosen in enumerate(shuffled):
        raw, labels = dataset.rows(chosen)
        rng = Rng.of(step, size)
        x, _ = codec.encode(raw, rng)
        batch = Batch(x, codec.encode_context(labels, size))
        for player in model.players():
            loss = model.loss(batch, player.name, rng).total
            optimizers[player.name].zero_grad()
            loss.backward(inputs=list(player.parameters))
            if settings.optimizer.clip is not None:
                torch.nn.utils.clip_grad_norm_(player.parameters, settings.optimizer.clip)
            optimizers[player.name].step()
    return time.perf_counter() - start


def ours(dataset: Dataset, codec: Codec, settings: RunSettings) -> float:
    """Seconds between the first and the last logged step of ``fit_run``, scaled to all steps."""
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder.create(Path(place) / "run")
        with folder.writing():
            fit_run(dataset, codec, settings, folder)
        rows = [row for row in folder.read_metrics() if row.get("kind") == "train"]
    first, last = rows[0], rows[-1]
    return (last["time"]["seconds"] - first["time"]["seconds"]) * (
        (settings.training.steps or 1) / (last["step"] - first["step"])
    )


def main() -> None:
    """Alternate, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nsf")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    # No evaluation, sheet or checkpoint falls between the first and the last logged step.
    training = {"steps": chosen.steps, "evaluate_every": 10 * chosen.steps, "compile": "off", "batch_size": 256}
    settings = merge_settings({"model": {"name": chosen.model}, "training": training}, load_class(chosen.model))
    x = np.random.default_rng(0).normal(size=(chosen.rows, chosen.columns)).astype(np.float32)
    dataset = open_dataset(x, settings.data)
    codec = Codec.fit(dataset, load_class(chosen.model).encoding)
    bare(dataset, codec, settings)  # warm up allocator and threads
    pairs = [(bare(dataset, codec, settings), ours(dataset, codec, settings)) for _ in range(chosen.rounds)]
    ratios = [b / a for a, b in pairs]
    figures = {
        **vars(chosen),
        "bare_steps_per_second": round(chosen.steps / statistics.median(a for a, _ in pairs), 2),
        "headwater_steps_per_second": round(chosen.steps / statistics.median(b for _, b in pairs), 2),
        "median_ratio": round(statistics.median(ratios), 4),
        "ratios": [round(ratio, 4) for ratio in ratios],
    }
    print(figures)
    write(f"loop-overhead-{chosen.model}", f"python -m benchmarks.loop_overhead --model {chosen.model}", figures)


if __name__ == "__main__":
    main()
