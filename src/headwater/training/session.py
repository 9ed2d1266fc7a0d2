"""A run under way: its state, and what is done to it between steps (watch, save, go back)."""

from __future__ import annotations

import time

from headwater.data.dataset import Dataset
from headwater.progress import Progress
from headwater.runs.checkpoint import Checkpoint, save_checkpoint
from headwater.runs.folder import RunFolder
from headwater.runs.shelf import rewind
from headwater.settings import RunSettings
from headwater.training.assemble import Workshop
from headwater.training.budget import plan
from headwater.training.compiling import Loss, compiled_loss
from headwater.training.distributed import Ranks
from headwater.training.divergence import Snapshot, exploded, gather_groups, give_up, non_finite_group, restore_groups
from headwater.training.metrics import Averages, MetricsLog
from headwater.training.monitor import Monitor, held_out
from headwater.training.resume import describe_origin, same_budget
from headwater.training.sheets import write_sheet
from headwater.training.state import Best, TrainState

__all__ = ["Session"]


class Session:
    """Owns the state; every method keeps state, weights and folder consistent.

    Args:
        workshop: Model, average, optimizers, batches.
        dataset: Its fingerprint goes into each checkpoint.
        settings: Of the run.
        folder: Held for writing by the caller (in the process that writes).
        ranks: The processes.
        progress: Who hears of it.
    """

    def __init__(
        self,
        workshop: Workshop,
        dataset: Dataset,
        settings: RunSettings,
        folder: RunFolder,
        ranks: Ranks,
        progress: Progress,
    ) -> None:
        self.model, self.ema, self.optimizers = workshop.model, workshop.ema, workshop.optimizers
        self.feed, self.device = workshop.feed, workshop.device
        self.dataset, self.settings, self.folder, self.ranks, self.progress = dataset, settings, folder, ranks, progress
        self.loss: Loss = self.model.loss
        self.averages, self.log = Averages(), MetricsLog(folder, writes=ranks.primary)
        self.monitor = Monitor(self.feed, held_out(dataset), settings.seed, settings.training.batch_size, ranks)
        self.known = plan(settings.training, self.feed.order.epoch)
        self.state = TrainState(total=self.known.steps, because=self.known.because)
        self._start = time.monotonic()
        self._saved_step, self._saved_at = -1, self._start
        self.sheet_seconds = 0.0
        self._snapshot: Snapshot | None = None

    @property
    def seconds(self) -> float:
        """Time this run has taken, over all sessions."""
        return self.state.seconds + time.monotonic() - self._start

    @property
    def finished(self) -> bool:
        """Whether a budget or the patience is used up."""
        state = self.state
        return bool(state.stopped) or (state.total is not None and state.step >= state.total)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, bit for bit; a changed budget makes a new plan."""
        planned = (self.state.total, self.state.because)
        self.state = TrainState.from_json(checkpoint.state["training"])
        restore_groups(checkpoint.groups, self.model, self.ema, self.optimizers)
        if not same_budget(checkpoint.state, self.settings):
            self.state.total, self.state.because = planned
            self.state.paced = False
            self.state.stopped, self.state.waits = "", 0
        self.averages.restore(self.state.sums, self.state.counted)
        self._saved_step = checkpoint.step
        if self.ranks.primary:
            rewind(self.folder, checkpoint.step, progress=self.progress)
        self.log.event("resumed", checkpoint.step, self.seconds, processes=self.ranks.world)
        self.keep_snapshot()

    def compile(self) -> None:
        """Compile the loss from here on, if that works here."""
        batch, rng = self.feed.batch(self.state.step, self.state.attempt, 0.0)
        with self.progress.phase("Compiling", total=1) as phase:
            precision = self.settings.training.precision
            self.loss, worked = compiled_loss(self.model, batch, rng, self.progress, precision=precision)
            phase.advance()
        self.state.compiled = worked
        if worked:
            self.log.event("compiled", self.state.step, self.seconds)

    def evaluate(self) -> bool:
        """Measure held-out data with the averaged weights; False if the run has diverged by that measure."""
        if not self.monitor.usable:
            return True
        state = self.state
        figures = self.monitor.measure(self.ema.average())
        self.model.train()
        value = figures[self.monitor.value_name(self.model)]
        if exploded(value, state.reference if self.model.monitor is not None else None):
            return False
        self.log.row("valid", state.step, self.seconds, figures)
        if state.step == 0:
            state.reference = value
        elif state.best is None or value < state.best.value:
            state.best, state.waits = Best(state.step, value), 0
        else:
            state.waits += 1
            patience = self.settings.training.patience
            if patience is not None and state.waits >= patience:
                state.stopped = "patience"
        return True

    def keep_snapshot(self) -> None:
        """Remember this state as good."""
        self._collect()
        self._snapshot = Snapshot.take(gather_groups(self.model, self.ema, self.optimizers), self.state)

    def save(self) -> bool:
        """Publish a checkpoint and remember it as good; False, and nothing written, if a tensor is not finite."""
        state = self.state
        self._collect()
        groups = gather_groups(self.model, self.ema, self.optimizers)
        if non_finite_group(groups):
            return False
        self._snapshot = Snapshot.take(groups, state)
        if self.ranks.primary and self._saved_step != state.step:
            content = TrainState(**{**vars(state), "seconds": self.seconds}).to_json()
            best = state.best is not None and state.best.step == state.step
            save_checkpoint(
                self.folder,
                state.step,
                groups,
                {"training": content, **describe_origin(self.settings, self.dataset, self.ranks.world)},
                keep=self.settings.training.keep,
                best=best,
                progress=self.progress,
            )
        self._saved_step, self._saved_at = state.step, time.monotonic()
        return True

    @property
    def unsaved_seconds(self) -> float:
        """Time since the last checkpoint of this session."""
        return time.monotonic() - self._saved_at

    def roll_back(self, reason: str) -> None:
        """Return to the last good state at half the learning rate.

        Raises:
            DivergenceError: that was done ``training.rollbacks`` times already.
        """
        state, training = self.state, self.settings.training
        if self._snapshot is None or state.attempt >= training.rollbacks:
            self.log.event("diverged", state.step, self.seconds, reason=reason)
            raise give_up(reason, state, self.log.last, self.settings.optimizer.lr)
        restore_groups(self._snapshot.groups, self.model, self.ema, self.optimizers)
        back = self._snapshot.rolled_back(state)
        self.log.cut(back.step)
        self.log.event(
            "rollback",
            state.step,
            self.seconds,
            reason=reason,
            to=back.step,
            attempt=back.attempt,
            lr_factor=back.lr_factor,
        )
        self.progress.warn(
            f"Step {state.step}: {reason}; back to step {back.step} at learning rate "
            f"{self.settings.optimizer.lr * back.lr_factor:.3g} ({back.attempt} of {training.rollbacks})."
        )
        self.state = back
        self.averages.restore(back.sums, back.counted)

    def sheet(self) -> None:
        """Write a sheet of samples; rows that are not finite are counted and reported, never hidden."""
        if self.ranks.primary:
            start = time.monotonic()
            spoiled = write_sheet(self.folder, self.ema.average(), self.feed, self.state.step, self.settings.seed)
            self.sheet_seconds += time.monotonic() - start
            self.model.train()
            if spoiled:
                self.log.event("non-finite samples", self.state.step, self.seconds, rows=spoiled)
                self.progress.warn(f"Step {self.state.step}: {spoiled} samples of the sheet are not finite.")

    def _collect(self) -> None:
        self.state.sums, self.state.counted = self.averages.sums(), self.averages.counted
