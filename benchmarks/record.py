"""Where benchmarks put their figures: one JSON per benchmark, with the machine and versions that made it."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

__all__ = ["RESULTS", "write"]

RESULTS = Path(__file__).parent / "results"


def write(name: str, command: str, figures: Any, path: Path | None = None) -> Path:
    """Write ``results/NAME.json``, or another file."""
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {
        "benchmark": name,
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": {
            "processor": _processor(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "headwater": version("headwater"),
        },
        "figures": figures,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return path


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
