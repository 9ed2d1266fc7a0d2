"""Where a training step of the flows of ``flows_vs_peers`` goes, and how fast matrix products could be here.

    python -m benchmarks.step_profile [--features 43] [--steps 40]

For each work the compiled float32 step is timed, then profiled: milliseconds a step in matrix products, in compiled
loops (the splines' included), in the optimizer, and the rest (Python, the compiler's runtime, checks; profiling slows
what it counts, so that the rest comes out small). ``gflop`` counts the products' multiplications and additions, and
``peak`` is the rate of a product of the hidden layers' shape alone: ``gflop / peak`` bounds any step that computes
these products in float32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.peers.ours import build
from benchmarks.peers.shared import BATCH, HIDDEN
from benchmarks.record import write

WORKS = ("autoregressive-spline", "coupling-spline", "maf")
_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm")
_ROUNDS = 7


def milliseconds(call: Callable[[], Any], steps: int) -> float:
    """Median over rounds of the mean time of a call."""
    rounds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for _ in range(steps):
            call()
        rounds.append(1e3 * (time.perf_counter() - began) / steps)
    return statistics.median(rounds)


def peak() -> float:
    """GFLOP a second of one product of the hidden layers' shape."""
    w, x = torch.randn(HIDDEN[0], HIDDEN[0]), torch.randn(HIDDEN[0], BATCH)
    out = torch.empty(HIDDEN[0], BATCH)
    return 2e-6 * HIDDEN[0] ** 2 * BATCH / milliseconds(lambda: torch.mm(w, x, out=out), 200)


def kind(name: str) -> str:
    """What an event of the profile is counted as; "" for what only contains others."""
    if name in _PRODUCTS:
        return "products"
    if "CompiledFxGraph" in name or name.startswith("headwater::"):
        return "loops"
    return "optimizer" if "_fused_adam" in name else ""


def measure(work: str, features: int, steps: int) -> dict[str, Any]:
    """Milliseconds a step by kind, and what the products amount to."""
    step = build(work, features, "compiled").train_step
    for _ in range(10):
        step()
    whole = milliseconds(step, steps)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True) as seen:
        for _ in range(steps):
            step()
    shares = dict.fromkeys(("products", "loops", "optimizer"), 0.0)
    flop = 0.0
    for event in seen.key_averages():
        found = kind(event.key)
        if found:
            shares[found] += event.self_cpu_time_total / 1e3 / steps
        if found == "products":
            flop += event.flops / steps
    rest = whole - sum(shares.values())
    return {
        "milliseconds": round(whole, 2),
        **{name: round(value, 2) for name, value in (*shares.items(), ("rest", rest))},
        "gflop": round(flop / 1e9, 3),
    }


def main() -> None:
    """All works."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=int, default=43)
    parser.add_argument("--steps", type=int, default=40)
    chosen = parser.parse_args()
    rate = peak()
    figures: dict[str, Any] = {"features": chosen.features, "peak_gflop_per_second": round(rate, 1), "works": {}}
    for work in WORKS:
        row = measure(work, chosen.features, chosen.steps)
        row["least_milliseconds"] = round(1e3 * row["gflop"] / rate, 2)
        figures["works"][work] = row
        print(work, row, flush=True)
    write("step-profile", f"python -m benchmarks.step_profile --features {chosen.features}", figures)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
