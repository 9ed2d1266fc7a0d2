"""A calibration as a picture: a histogram of ranks per quantity, and how often intervals cover."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from headwater.applications.inference.calibration import Calibration
from headwater.evaluation.markup import Markup
from headwater.evaluation.svg import Chart
from headwater.evaluation.svg_file import svg_file
from headwater.runs.files import write_atomic

__all__ = ["calibration_svg", "write_calibration"]

_BAND = 2.576  # standard deviations that hold 99 % of a normal


def _histogram(found: Calibration, number: int) -> Markup:
    ranks, n, bins = found.ranks[:, number].numpy(), len(found.ranks), found.bins
    edges: Float[np.ndarray, " bins_1"] = np.linspace(0, found.draws + 1, bins + 1)
    counts = np.histogram(ranks, edges)[0].astype(np.float64)
    mean, reach = n / bins, _BAND * float(np.sqrt(n / bins * (1 - 1 / bins)))
    test = found.tests[number]
    top = 1.15 * max(float(counts.max()), mean + reach)
    label = f"rank of the truth among {found.draws} draws (p = {test.p:.2g})"
    title = test.name + (f": {test.complaint}" if test.complaint else "")
    chart = Chart(title, (0.0, found.draws + 1.0), (0.0, top), label)
    chart.bars(edges[:-1], counts, 2 if test.complaint else 1, found.draws / bins)
    ends = np.array([0.0, found.draws + 1.0])
    for height in (max(0.0, mean - reach), mean, mean + reach):
        chart.line(ends, np.array([height, height]), 0)
    return chart.svg()


def _coverage(found: Calibration) -> Markup:
    levels = torch.linspace(0, 1, 51, dtype=torch.float64)
    covered = found.coverage(levels).numpy()
    chart = Chart("coverage", (0.0, 1.0), (0.0, 1.0), "credible level; below the diagonal: too narrow")
    at, n = levels.numpy(), len(found.ranks)
    reach = _BAND * np.sqrt(at * (1 - at) / n)
    for line in (at, np.clip(at - reach, 0, 1), np.clip(at + reach, 0, 1)):
        chart.line(at, line, 0)
    for i, test in enumerate(found.tests):
        chart.line(at, covered[:, i], 2 if test.complaint else 1)
    return chart.svg()


def calibration_svg(found: Calibration) -> str:
    """One SVG of all quantities; grey: what 99 in 100 calibrated posteriors keep within, bin by bin."""
    charts = [*(_histogram(found, i) for i in range(len(found.names))), _coverage(found)]
    return svg_file(charts, title=f"{found.verdict[:1].upper()}{found.verdict[1:]}")


def write_calibration(found: Calibration, path: Path | str) -> Path:
    """Write :func:`calibration_svg` to a file."""
    target = Path(path)
    write_atomic(target, calibration_svg(found).encode())
    return target
