"""Watching held-out data: always the same rows and the same noise, with the averaged weights."""

from __future__ import annotations

import torch
from jaxtyping import Int64
from torch import Tensor

from headwater.data.dataset import Dataset
from headwater.models.base import Batch, Density, GenerativeModel
from headwater.rng import Rng
from headwater.training.distributed import Ranks
from headwater.training.energy import energy_distance
from headwater.training.feed import Feed
from headwater.training.order import permutation, resampled

__all__ = ["Monitor", "held_out"]

_ROWS = 4096
_LEAST_ROWS = 512
_NUMBERS = 2**20
_SAMPLES = 1024


def held_out(dataset: Dataset) -> Int64[Tensor, " rows"]:
    """Rows to watch: the validation split; of weighted rows twice as many, drawn in proportion to their weights."""
    rows = dataset.splits["valid"]
    if dataset.weights is not None and len(rows):
        rows = resampled(rows, dataset.weights[rows], 2 * len(rows))
    return torch.as_tensor(rows, dtype=torch.int64)


class Monitor:
    """Measures the model on a fixed subset of the held-out rows; lower is better.

    Where the model names a ``monitor``, it is that term of its loss, as a mean over up to
    4,096 events (of at most a million numbers, but 512 events at least). Else it is the energy
    distance between up to 1,024 samples and as many held-out events, with their contexts.

    Args:
        feed: Where events come from.
        rows: Held-out row numbers; with fewer than two there is nothing to watch.
        seed: Of the choice of rows and of the samples.
        batch_size: Events at a time.
        ranks: Processes that share the work.
    """

    def __init__(self, feed: Feed, rows: Tensor, seed: int, batch_size: int, ranks: Ranks) -> None:
        self._seed, self._batch, self._ranks = seed, batch_size, ranks
        count = min(len(rows), _ROWS, max(_LEAST_ROWS, _NUMBERS // max(1, feed.codec.event.size)))
        chosen = rows.numpy()[permutation(len(rows), seed, epoch=0)[:count]]
        self.usable = count >= 2
        if self.usable:
            self._x, self._context, self._rng = feed.events(chosen, "held out")

    def value_name(self, model: GenerativeModel) -> str:
        """What is watched."""
        return model.monitor or "energy_distance"

    @torch.no_grad()
    def measure(self, model: GenerativeModel) -> dict[str, float]:
        """All figures on held-out data; a model in evaluation mode afterwards."""
        model.eval()
        return self._losses(model) if model.monitor is not None else self._distance(model)

    def _losses(self, model: GenerativeModel) -> dict[str, float]:
        player = _watched(model)
        total: Tensor | None = None
        names: tuple[str, ...] = ()
        ours = range(self._ranks.rank * self._batch, len(self._x), self._ranks.world * self._batch)
        for start in ours:
            part = slice(start, start + self._batch)
            context = None if self._context is None else self._context[part]
            x = self._x[part]
            losses = model.loss(Batch(x, context, x.new_ones(())), player, self._rng.rows(part).fold(player))
            names = ("loss", *losses.terms)
            terms = torch.stack([losses.total, *losses.terms.values()]).to(x.dtype)
            weighted = torch.cat([terms, x.new_ones(1)]) * len(x)
            total = weighted if total is None else total + weighted
        return self._shared(model, names, total)

    def _shared(self, model: GenerativeModel, names: tuple[str, ...], total: Tensor | None) -> dict[str, float]:
        if self._ranks.world > 1:  # a process without rows still has to take part
            if total is None:
                x = self._x[:1]
                context = None if self._context is None else self._context[:1]
                losses = model.loss(Batch(x, context, x.new_ones(())), _watched(model), self._rng.rows(slice(0, 1)))
                names = ("loss", *losses.terms)
                total = x.new_zeros(len(names) + 1)
            total = self._ranks.average_([], total, doing="averaging the held-out loss")
        assert total is not None
        return dict(zip(names, (total[:-1] / total[-1]).tolist(), strict=True))

    def _distance(self, model: GenerativeModel) -> dict[str, float]:
        n = min(_SAMPLES, len(self._x))
        rng = Rng.of(self._seed, n, device=self._x.device).fold("monitor")
        samples = [
            model.sample(
                len(self._x[:n][part]),
                context=None if self._context is None else self._context[:n][part],
                rng=rng.rows(part),
            )
            for part in (slice(start, min(start + self._batch, n)) for start in range(0, n, self._batch))
        ]
        y = torch.cat(samples).to(self._x.dtype)
        return {"energy_distance": float(energy_distance(y.flatten(1), self._x[:n].flatten(1)))}

    @torch.no_grad()
    def likelihood(self, model: Density) -> dict[str, float]:
        """Mean negative log-likelihood of the events in the model's own encoding, nats, as ``nll``."""
        if not self.usable:
            return {}
        score = model.log_prob(self._x, context=self._context, rng=self._rng)
        return {"nll": -float(score.value.mean())}

    @property
    def batch(self) -> Batch | None:
        """The held-out events, encoded, with their contexts."""
        return Batch(self._x, self._context) if self.usable else None


def _watched(model: GenerativeModel) -> str:
    return model.players()[0].name
