"""What a run would take: shapes, parameters, memory, disk, time; one step in memory, nothing written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from headwater.data.codec import Codec
from headwater.data.dataset import Dataset
from headwater.errors import DivergenceError
from headwater.models.base import ClosedForm
from headwater.progress import Progress, SilentProgress
from headwater.runs.build import model_bytes
from headwater.runs.device import choose_device, memory_advice
from headwater.runs.files import human_bytes
from headwater.runs.weights import tensor_bytes
from headwater.settings import RunSettings
from headwater.training.assemble import Workshop, assemble
from headwater.training.budget import plan
from headwater.training.distributed import Ranks
from headwater.training.divergence import gather_groups
from headwater.training.update import update

__all__ = ["DryRun", "dry_run"]


@dataclass(frozen=True)
class DryRun:
    """What one step showed; ``str()`` is for people.

    Args:
        model: Name.
        event: Shape and supports of what the model sees.
        context: Length of the context vector.
        rows: Training rows.
        batch_size: Events per step.
        device: Where.
        parameters: Number of parameters of each player.
        memory_bytes: Weights, average, gradients and moments, and the activations of the step.
        disk_bytes: All checkpoints that are kept.
        steps: Budget in steps; None where minutes decide.
        step_seconds: Time of one step; None for a model that is fitted in closed form.
        figures: Of that step.
    """

    model: str
    event: str
    context: int
    rows: int
    batch_size: int
    device: str
    parameters: Mapping[str, int]
    memory_bytes: int
    disk_bytes: int
    steps: int | None
    step_seconds: float | None
    minutes: float | None
    figures: Mapping[str, float]

    @property
    def seconds(self) -> float | None:
        """Time of all steps, without evaluations; at most the budget of minutes."""
        limits = [] if self.minutes is None else [60 * self.minutes]
        if self.steps is not None and self.step_seconds is not None:
            limits.append(self.steps * self.step_seconds)
        return min(limits, default=None)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.parameters.items()) or "fitted in closed form"
        time_needed = "unknown" if self.seconds is None else f"about {_duration(self.seconds)}"
        steps = "as many as fit" if self.steps is None else f"{self.steps:,}"
        lines = {
            "model": self.model,
            "event": self.event,
            "context": str(self.context) if self.context else "none",
            "rows": f"{self.rows:,}, {self.batch_size} per step",
            "device": self.device,
            "parameters": counts,
            "memory": f"about {human_bytes(self.memory_bytes)}",
            "disk": f"about {human_bytes(self.disk_bytes)}",
            "steps": steps,
            "time": time_needed,
            "first step": ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items()) or "none",
        }
        return "\n".join(f"{name:<12}{text}" for name, text in lines.items())


def dry_run(dataset: Dataset, codec: Codec, settings: RunSettings, *, progress: Progress | None = None) -> DryRun:
    """Build everything, take one step in memory, write nothing.

    Raises:
        HeadwaterError: whatever the real run would raise before or at its first step.
    """
    progress = progress or SilentProgress()
    with torch.random.fork_rng(devices=[]), Ranks(settings) as ranks, memory_advice(settings.training.batch_size):
        device = choose_device(settings.device, local_rank=ranks.local_rank)
        with progress.phase("Dry run", total=1):
            workshop = assemble(dataset, codec, settings, ranks, device, initialize=True)
            with workshop.feed:
                seconds, figures, activations = _one_step(workshop, settings, ranks)
    return _summary(workshop, settings, seconds, figures, activations)


def _one_step(workshop: Workshop, settings: RunSettings, ranks: Ranks) -> tuple[float | None, dict[str, float], int]:
    if isinstance(workshop.model, ClosedForm):
        return None, {}, 0
    saved = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal saved
        saved += tensor.numel() * tensor.element_size()
        return tensor

    seconds = 0.0
    for step in range(2):  # the first one also warms up
        start = time.perf_counter()
        batch, rng = workshop.feed.batch(step, 0, 0.0)
        saved = 0
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            result = update(
                workshop.optimizers,
                workshop.model.loss,
                batch,
                rng,
                factor=0.0,
                clip=settings.optimizer.clip,
                ranks=ranks,
                precision=settings.training.precision,
            )
        if not bool(result.finite):
            raise DivergenceError(
                "The loss or its gradient is not finite at the first step.",
                hint="Look for outliers with `headwater inspect`, or lower the learning rate: --set optimizer.lr=1e-4",
            )
        seconds = time.perf_counter() - start
    return seconds, dict(zip(result.names, result.figures.tolist(), strict=True)), saved


def _summary(
    workshop: Workshop, settings: RunSettings, seconds: float | None, figures: Mapping[str, float], activations: int
) -> DryRun:
    model, feed = workshop.model, workshop.feed
    groups = gather_groups(model, workshop.ema, workshop.optimizers)
    disk = sum(tensor_bytes(group) for group in groups.values())
    players = {o.player.name: sum(p.numel() for p in o.parameters) for o in workshop.optimizers}
    known = plan(settings.training, feed.order.epoch)
    return DryRun(
        model=str(settings.model["name"]),
        event=repr(feed.codec.event),
        context=feed.codec.context.size,
        rows=len(feed.train_rows),
        batch_size=settings.training.batch_size,
        device=str(workshop.device),
        parameters=players,
        memory_bytes=disk + model_bytes(model) + activations,
        disk_bytes=disk * (settings.training.keep + 1),
        steps=None if isinstance(model, ClosedForm) else known.steps,
        step_seconds=seconds,
        minutes=settings.training.minutes,
        figures=figures,
    )


def _duration(seconds: float) -> str:
    """Time to read.

    >>> _duration(200.0)
    '3.3 minutes'
    """
    for size, unit in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"
