"""A folder with small data of each kind, in which documented commands are run as a user types them."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headwater.cli import main
from tests.families import write_family

__all__ = ["fill", "run_command"]


def fill(folder: Path) -> None:
    """Write moons.csv, people.csv, a folder of pictures with two labels, and the files of a protein family."""
    generator = np.random.default_rng(0)
    angle = generator.uniform(0, np.pi, 600)
    upper = generator.integers(0, 2, 600).astype(bool)
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle)) + generator.normal(0, 0.1, 600)
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle)) + generator.normal(0, 0.1, 600)
    np.savetxt(folder / "moons.csv", np.stack([x, y], 1), delimiter=",", header="x,y", comments="", fmt="%.6f")
    rows = ["age,income,city,smoker"]
    for _ in range(500):
        age = int(generator.integers(18, 90))
        income = f"{generator.lognormal(10, 0.5):.2f}" if generator.uniform() < 0.9 else ""
        city = generator.choice(["Bern", "Oslo", "Rome"], p=[0.5, 0.3, 0.2])
        rows.append(f"{age},{income},{city},{'yes' if generator.uniform() < 0.01 * age / 2 else 'no'}")
    (folder / "people.csv").write_text("\n".join(rows) + "\n")
    write_family(folder)
    (folder / "alignments").mkdir()
    shutil.copy(folder / "family.a2m", folder / "alignments" / "family.a2m")
    for label, centre in (("a", 3), ("b", 8)):
        (folder / "pictures" / label).mkdir(parents=True)
        for number in range(60):
            grid = np.hypot(*(np.mgrid[0:12, 0:12] - centre))
            picture = np.clip(255 * np.exp(-((grid / 3) ** 2)) + generator.normal(0, 12, (12, 12)), 0, 255)
            Image.fromarray(picture.astype("uint8")).save(folder / "pictures" / label / f"{number:02d}.png")


def run_command(line: str) -> int:
    """Run ``headwater ...`` in this process and return its exit code; what it prints goes to pytest."""
    program, *arguments = shlex.split(line)
    assert program == "headwater", f"not one of our commands: {line}"
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return int(stopped.value.code or 0)
