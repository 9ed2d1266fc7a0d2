"""All families and baselines on one data set, at equal minutes, with the project's own leaderboard.

    python -m benchmarks.families mnist ../shared/data/mnist/mnist.npz --minutes 2 -n 300
    python -m benchmarks.families adult ../shared/data/tables/adult.data --minutes 1 --label none

Every model is trained as ``headwater fit DATA -m MODEL --minutes M`` does, with its defaults. The leaderboard
(test split) and the commands go to ``results/families-NAME.json``; a report is written beside the runs.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

import headwater
from benchmarks.record import write
from headwater.data import open_dataset
from headwater.errors import HeadwaterError, UnsupportedEventError
from headwater.evaluation.report import write_report
from headwater.settings import DataSettings

MODELS = "independent,gaussian-mixture,kernel-density,nsf,vae,gan,flow-matching,made,pixel-transformer"


def main() -> None:
    """Train, evaluate, compare, record."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("data")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--label")
    parser.add_argument("--target")
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    settings: dict[str, Any] = {"label": arguments.label, "target": arguments.target}
    runs: list[Path] = []
    seconds: dict[str, float] = {}
    refused: dict[str, str] = {}
    for model in arguments.models.split(","):
        path = arguments.out / f"{arguments.name}-{model}"
        if path.exists():
            runs.append(path)
            continue
        began = time.monotonic()
        try:
            headwater.fit(
                arguments.data,
                model,
                out=path,
                minutes=arguments.minutes,
                seed=arguments.seed,
                settings={"data": settings},
            )
        except UnsupportedEventError as error:
            refused[model] = str(error)
            continue
        except HeadwaterError as error:  # a run that failed has its place in the leaderboard
            print(f"{model}: {error}", flush=True)
        runs.append(path)
        seconds[model] = round(time.monotonic() - began, 1)
        print(f"{model}: {seconds[model]} s", flush=True)
    dataset = open_dataset(arguments.data, DataSettings(path=arguments.data, **settings))
    leaderboard = headwater.compare(*runs, n=arguments.n, dataset=dataset)
    print(leaderboard)
    place = arguments.out / f"{arguments.name}.json"
    leaderboard.write_json(place)
    data = Path(arguments.data).name
    label = f" --label {arguments.label}" if arguments.label else ""
    options = f"--minutes {arguments.minutes:g} --seed {arguments.seed}{label}"
    fitted = [m for m in arguments.models.split(",") if m not in refused]
    commands = [f"headwater fit {data} -m {m} {options} --out runs/{arguments.name}-{m}" for m in fitted]
    commands.append(f"headwater compare runs/{arguments.name}-* -n {arguments.n}")
    figures = {"leaderboard": json.loads(place.read_text()), "fit_seconds": seconds, "refused": refused}
    command = f"python -m benchmarks.families {arguments.name} DATA {options} -n {arguments.n}"
    write(f"families-{arguments.name}", command, figures | {"commands": commands})
    write_report(arguments.out / f"{arguments.name}.html", runs, leaderboard=leaderboard, dataset=dataset)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
