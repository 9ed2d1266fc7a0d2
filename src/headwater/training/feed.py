"""Batches: rows in the order of the run, encoded on the device with noise that belongs to their position."""

from __future__ import annotations

from types import TracebackType

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from headwater.data.codec import Codec
from headwater.data.dataset import Dataset
from headwater.models.base import Batch
from headwater.rng import Rng
from headwater.settings import RunSettings
from headwater.training.distributed import Ranks
from headwater.training.order import DataOrder, resampled
from headwater.training.prefetch import ReadAhead

__all__ = ["Feed", "model_dtype"]

_RESIDENT_SHARE = 4
_READ_ROWS = 4096
Rows = tuple[Tensor, Tensor | None]


def model_dtype(settings: RunSettings) -> torch.dtype:
    """The dtype of weights and events."""
    return torch.float64 if settings.training.precision == "float64" else torch.float32


class Feed:
    """Serves the batch of a step as a pure function of ``(seed, step, attempt)``.

    The noise of an event is keyed by its position in the endless row of epochs, which
    is ``(step, place in the batch)``; no two events of a run share it. A rollback is
    a new ``attempt``: the same rows under fresh noise.

    Data that takes less than a quarter of an accelerator's free memory is kept there
    as raw storage; on the CPU it is where it was anyway.

    Args:
        dataset: Where rows come from.
        codec: Encodes them; on ``device``.
        settings: Of the run.
        device: Where to encode and to train.
        ranks: Which slice of the global batch is ours.
    """

    def __init__(
        self, dataset: Dataset, codec: Codec, settings: RunSettings, device: torch.device, ranks: Ranks
    ) -> None:
        training = settings.training
        self.device, self.dtype, self.codec = device, model_dtype(settings), codec
        self._dataset, self._seed, self._dropout = dataset, settings.seed, training.label_dropout
        self.train_rows = np.asarray(dataset.splits["train"], dtype=np.int64)
        self.weights = None if dataset.weights is None else dataset.weights[self.train_rows]
        self.order = DataOrder(self.train_rows, training.batch_size, settings.seed, self.weights)
        self.effective = float(len(self.train_rows) if self.weights is None else self.weights.sum())
        share = training.batch_size // ranks.world
        self._ours = slice(ranks.rank * share, (ranks.rank + 1) * share)
        self._resident = self._load()
        self._ahead = ReadAhead(self._read_step, training.workers)

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ahead.__exit__(kind, error, trace)

    def batch(self, step: int, attempt: int, share: float) -> tuple[Batch, Rng]:
        """This process's part of step ``t``; ``share`` of the budget is used."""
        raw, labels = self._ahead(step)
        rng = self._rng(self.order.positions(step)[self._ours], attempt)
        x, context = self.encode(raw, labels, rng)
        if context is not None and self._dropout > 0:
            kept = rng.uniform("label dropout") >= self._dropout
            context = context * kept.to(context.dtype)[:, None]
        progress = torch.full((), share, dtype=self.dtype, device=self.device)
        return Batch(x, context, progress), rng.fold("model")

    def first(self, events: int) -> tuple[Batch, Rng]:
        """Events for data-dependent initialization, the same in every process: the first ones of the run.

        Weighted rows are ``events`` in number whatever there is, in proportion to their weights.
        """
        if self.weights is None:
            positions = np.arange(min(events, len(self.train_rows)))
            rows = DataOrder(self.train_rows, len(positions), self._seed).rows(0)
        else:
            positions = np.arange(events)
            rows = resampled(self.train_rows, self.weights, events)
        rng = self._rng(positions, 0).fold("initialize")
        x, context = self.encode(*self._dataset.rows(rows), rng)
        start = torch.zeros((), dtype=self.dtype, device=self.device)
        return Batch(x, context, start, rows=self.effective), rng.fold("model")

    def every(self, *, weighted: bool) -> tuple[Batch, Rng]:
        """All training events at once; with their weights, or as many drawn in proportion to them."""
        rows, weight = self.train_rows, None
        if self.weights is not None and weighted:
            weight = torch.from_numpy(self.weights).to(device=self.device, dtype=self.dtype)
        elif self.weights is not None:
            rows = resampled(rows, self.weights, len(rows))
        x, context, rng = self.events(rows, "train")
        return Batch(x, context, weight=weight, rows=self.effective), rng

    def encode(
        self, raw: Tensor, labels: Tensor | None, rng: Rng
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "batch context"] | None]:
        """Raw rows as the model wants them, and their context."""
        raw = raw.to(self.device)
        x, _ = self.codec.encode(raw, rng.fold("codec"))
        context = None
        if self.codec.context.size:
            context = self.codec.encode_context(None if labels is None else labels.to(self.device), len(raw))
        return x.to(self.dtype), None if context is None else context.to(self.dtype)

    def events(self, rows: Int64[np.ndarray, " n"], name: str) -> tuple[Tensor, Tensor | None, Rng]:
        """Rows encoded once with noise that depends on the row and ``name`` alone."""
        parts = []
        for start in range(0, len(rows), _READ_ROWS):
            part = rows[start : start + _READ_ROWS]
            rng = Rng.at(self._seed, torch.from_numpy(part).to(self.device)).fold(name)
            parts.append((*self.encode(*self._dataset.rows(part), rng), rng.keys))
        x, keys = torch.cat([p[0] for p in parts]), torch.cat([p[2] for p in parts])
        contexts = [p[1] for p in parts if p[1] is not None]
        return x, torch.cat(contexts) if contexts else None, Rng(keys).fold("model")

    def _rng(self, positions: Int64[np.ndarray, " n"], attempt: int) -> Rng:
        return Rng.at(self._seed, torch.from_numpy(positions).to(self.device)).fold(f"train {attempt}")

    def _read_step(self, step: int) -> Rows:
        rows = self.order.rows(step)[self._ours]
        if self._resident is None:
            return self._dataset.rows(rows)
        places = torch.from_numpy(np.searchsorted(self.train_rows, rows)).to(self.device)
        raw, labels = self._resident
        return raw.index_select(0, places), None if labels is None else labels.index_select(0, places)

    def _load(self) -> Rows | None:
        if self.device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        per_row = self._dataset.storage.nbytes // max(1, len(self._dataset.storage))
        if per_row * len(self.train_rows) > free // _RESIDENT_SHARE:
            return None
        raw, labels = self._dataset.rows(self.train_rows)
        return raw.to(self.device), None if labels is None else labels.to(self.device)
