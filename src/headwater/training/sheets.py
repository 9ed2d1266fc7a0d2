"""Sheets of samples while training: a picture grid for images, a CSV for everything else."""

from __future__ import annotations

import csv
import io

import torch
from torch import Tensor

from headwater.models.base import GenerativeModel
from headwater.rng import Rng
from headwater.runs.files import write_atomic
from headwater.runs.folder import RunFolder
from headwater.runs.sheets import make_grid
from headwater.training.feed import Feed

__all__ = ["write_sheet"]

_COUNT = 64


@torch.no_grad()
def write_sheet(folder: RunFolder, model: GenerativeModel, feed: Feed, step: int, seed: int) -> int:
    """Draw 64 samples, the same noise each time, and write ``samples/step-000400.png`` or ``.csv``.

    Classes take turns where the model is conditional.

    Returns:
        Number of samples that are not finite; they are left out of the sheet.

    Raises:
        ResourceError: the folder cannot be written.
    """
    model.eval()
    rng = Rng.of(seed, _COUNT, device=feed.device).fold("sheet")
    context = _contexts(model, feed)
    x = model.sample(_COUNT, context=context, rng=rng)
    finite = torch.isfinite(x.flatten(1)).all(dim=1)
    if not bool(finite.all()):
        x = x[finite]
    if len(x):
        raw = feed.codec.decode(x).cpu()
        name = f"step-{step:06d}"
        folder.samples.mkdir(exist_ok=True)
        if raw.ndim == 4:
            write_atomic(folder.samples / f"{name}.png", _png(raw, (feed.codec.schema.levels or 256) - 1))
        else:
            write_atomic(folder.samples / f"{name}.csv", _csv(raw, feed))
    return _COUNT - len(x)


def _contexts(model: GenerativeModel, feed: Feed) -> Tensor | None:
    spec = model.context
    if not spec.size:
        return None
    if spec.classes:
        turns = torch.arange(_COUNT, device=feed.device) % spec.size
        return torch.nn.functional.one_hot(turns, spec.size).to(feed.dtype)
    return torch.zeros(_COUNT, spec.size, dtype=feed.dtype, device=feed.device)


def _png(raw: Tensor, brightest: int) -> bytes:
    buffer = io.BytesIO()
    make_grid(raw.double() / brightest).save(buffer, format="PNG")
    return buffer.getvalue()


def _csv(raw: Tensor, feed: Feed) -> bytes:
    rows = raw.flatten(1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f"x{i}" for i in range(rows.shape[1])])
    writer.writerows([f"{value:.6g}" for value in row] for row in rows.tolist())
    return text.getvalue().encode()
