"""``headwater demo`` as a person runs it: how long it takes and what its leaderboard says.

    python -m benchmarks.demo [--seed 0]

Goals: at most 3 minutes of training on two cores; every density model beats independent columns
on held-out digits and one beats the Gaussian mixture; at least 90 % of the labelled samples of each
family are recognised by a classifier trained on real digits.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import write


def main() -> None:
    """Run the command in a process of its own and record what it left behind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "demo"
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "headwater", "demo", "--out", str(out), "--seed", str(arguments.seed)],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds = time.monotonic() - began
        print(done.stdout)
        runs = {path.name: _figures(path) for path in sorted((out / "runs").iterdir())}
    trained = next(line for line in done.stdout.splitlines() if line.startswith("trained in"))
    figures = {"all_seconds": round(seconds, 1), "training": trained, "runs": runs}
    write("demo", f"python -m benchmarks.demo --seed {arguments.seed}", figures)


def _figures(run: Path) -> dict[str, Any]:
    evaluation = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    likelihood = evaluation["likelihood"]
    found = {figure["key"]: figure["value"] for figure in evaluation["figures"]}
    nats = {key: likelihood[key] for key in ("mean", "stderr", "kind")} if likelihood else None
    return {"nats": nats, "parameters": evaluation["parameters"], "figures": found}


if __name__ == "__main__":
    main()
