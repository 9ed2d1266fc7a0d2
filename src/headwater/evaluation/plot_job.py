"""What the parts of a plot share: the run, its data, its samples, its noise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from headwater.evaluation.subject import Rows
from headwater.evaluation.way import titles
from headwater.models.base import Gradual, Invertible
from headwater.rng import Rng
from headwater.runs.sampling import model_device, model_dtype

if TYPE_CHECKING:
    from headwater.data.schema import Schema
    from headwater.runs.run import Run

__all__ = ["TEMPERATURE", "PlotJob"]

TEMPERATURE = "T ="


@dataclass
class PlotJob:
    """One run's plots.

    Args:
        run: Of any model.
        split: Whose data it is.
        seed: Of samples and noise.
        frames: Of the animation; 0 for none.
        real: Held-out data, where it could be read.
        fake: Samples.
        left_out: What is not drawn, and why; grows.
    """

    run: Run
    split: str
    seed: int
    frames: int
    real: Rows | None
    fake: Rows
    left_out: list[str] = field(default_factory=list)

    @property
    def schema(self) -> Schema:
        """What the data is."""
        return self.run.codec.schema

    @property
    def model_name(self) -> str:
        """The model's registered name."""
        return str(self.run.settings.model.get("name"))

    @property
    def title(self) -> str:
        """Run and model."""
        return f"{self.run.name} ({self.model_name})"

    def noise(self, n: int) -> tuple[Tensor, Tensor | None]:
        """Standard normal noise with contexts, labels as frequent as in training."""
        run = self.run
        rng = Rng.of(self.seed, n, device=model_device(run.model))
        z = rng.normal("plot", run.model.event.size, dtype=model_dtype(run.model))
        labels = run.labels(None, n, seed=self.seed)
        return z, run.codec.encode_context(None if labels is None else labels.to(z.device), n)

    @torch.no_grad()
    def stages(self, n: int, count: int, *, hidden: bool) -> tuple[list[Tensor], list[str]]:
        """Flattened events as they come out of noise, first to last, and what each stage is; none for other models.

        Along an equation; or through the layers of a flow, where these can be looked at (``hidden``); otherwise of
        noise that grows from none (temperature 0: the mode) to all of it.
        """
        model = self.run.model
        z, context = self.noise(n)
        if isinstance(model, Gradual) and (hidden or model.stages_are_events):
            found = list(model.stages(z, count, context=context))
            return found, titles(len(found), events=model.stages_are_events)
        if isinstance(model, Invertible):
            grades = np.linspace(0, 1, count).tolist()
            events = [model.from_noise(t * z, context=context).flatten(1) for t in grades]
            return events, [f"{TEMPERATURE} {t:.1f}" for t in grades]
        return [], []
