"""Peak memory of reading data that should not be held in memory: 200,000 pictures and 2 million rows.

    python -m benchmarks.memory

Both are made on the spot, from noise with structure, and read in a process of their own,
whose peak resident memory is compared with that of the same process on a tiny input.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from benchmarks.record import write

READ = """
import json, resource, sys, time
import numpy as np
from headwater.data import open_dataset
from headwater.settings import DataSettings
began = time.monotonic()
dataset = open_dataset(sys.argv[1], DataSettings(path=sys.argv[1], label="none"))
opened = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began = time.monotonic()
index = np.random.default_rng(0).integers(0, len(dataset), (100, 256))
for rows in index:
    dataset.rows(np.sort(rows))
fetched = (time.monotonic() - began) / len(index)
print(json.dumps({"rows": len(dataset), "seconds": round(opened, 1), "peak_MiB": round(peak),
                  "random_batch_of_256_ms": round(1000 * fetched, 2)}))
"""


def read(path: Path, cache: Path) -> dict[str, float]:
    """Figures of reading ``path`` in a fresh process."""
    environment = {"HEADWATER_CACHE": str(cache), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def write_pictures(folder: Path, count: int) -> None:
    """``count`` PNGs of 28 x 28 in folders of a thousand."""
    generator = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"{number // 1000:03d}"
        place.mkdir(parents=True, exist_ok=True)
        picture = generator.integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(picture).save(place / f"{number:06d}.png", compress_level=1)


def write_table(path: Path, rows: int) -> None:
    """A Parquet file of 10 columns of several types."""
    generator = np.random.default_rng(0)
    columns = {f"real_{i}": generator.normal(size=rows) for i in range(5)}
    columns |= {f"count_{i}": generator.poisson(20, rows) for i in range(3)}
    columns["city"] = generator.choice(np.array(["Bern", "Oslo", "Rome"]), rows)
    columns["member"] = generator.integers(0, 2, rows).astype(bool)
    pl.DataFrame(columns).write_parquet(path)


def main() -> None:
    """Measure both, and the same on a hundredth for the floor."""
    figures = {}
    for name, small, large in (("pictures", 2_000, 200_000), ("parquet", 20_000, 2_000_000)):
        for size in (small, large):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / ("pictures" if name == "pictures" else "table.parquet")
                (write_pictures if name == "pictures" else write_table)(path, size)
                cache = Path(folder) / "cache"
                first = read(path, cache)
                again = read(path, cache)
                figures[f"{name} {size}"] = {"first": first, "again, from the cache": again}
                print(name, size, figures[f"{name} {size}"], flush=True)
    write("memory", "python -m benchmarks.memory", figures)


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"{time.monotonic() - began:.0f} s")
