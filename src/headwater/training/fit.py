"""Training: one visible loop for one player or many, that stops, resumes and fails in an orderly way."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headwater.data.codec import Codec
from headwater.data.dataset import Dataset
from headwater.errors import CheckpointError, InterruptedRunError
from headwater.models.base import ClosedForm
from headwater.progress import Progress
from headwater.runs.checkpoint import Checkpoint, load_checkpoint
from headwater.runs.device import choose_device, memory_advice
from headwater.runs.folder import RunFolder
from headwater.settings import RunSettings
from headwater.training.assemble import assemble
from headwater.training.buffers import LiveBuffers
from headwater.training.clock import Clock
from headwater.training.closed_form import fit_closed_form
from headwater.training.distributed import Ranks
from headwater.training.recorder import Recorder
from headwater.training.resume import check_resume
from headwater.training.schedule import rate
from headwater.training.session import Session
from headwater.training.signals import StopRequest
from headwater.training.state import Best
from headwater.training.update import update

__all__ = ["FitResult", "fit_run"]

LOG_EVERY = 10


@dataclass(frozen=True)
class FitResult:
    """How training ended.

    Args:
        step: Optimizer steps done.
        best: Step and value of the best held-out measurement, if there was one.
        stopped_because: ``steps``, ``epochs``, ``minutes``, ``default``, ``patience`` or ``fitted``.
        seconds: Time taken, over all sessions.
        warnings: What the user should know.
    """

    step: int
    best: Best | None
    stopped_because: str
    seconds: float
    warnings: tuple[str, ...]


def fit_run(
    dataset: Dataset,
    codec: Codec,
    settings: RunSettings,
    folder: RunFolder,
    *,
    progress: Progress | None = None,
    resume: bool = False,
    allow_data_change: bool = False,
) -> FitResult:
    """Train the model of ``settings`` on the training rows, writing metrics, samples and checkpoints.

    In the process that writes (rank 0) the caller holds ``folder.writing()``. Torch's
    global generator, which initializes weights, is seeded here and given back as it was.

    Args:
        dataset: Rows with splits ``train`` and ``valid``.
        codec: Fitted to the dataset in the model's encoding.
        settings: With the model's defaults merged in.
        folder: Of the run.
        progress: Who hears how far it is.
        resume: Go on from the newest valid checkpoint.
        allow_data_change: Resume although the data's fingerprint differs; recorded.

    Raises:
        DivergenceError: not finite after all rollbacks.
        InterruptedRunError: stopped on request, everything saved.
        ResourceError: disk, memory, device, or a lost process.
        ConfigError, DataError, CheckpointError: a resume that does not fit.
    """
    recorder = Recorder(progress)
    fork = torch.random.fork_rng(devices=[])
    with fork, Ranks(settings) as ranks, memory_advice(settings.training.batch_size):
        device = choose_device(settings.device, local_rank=ranks.local_rank)
        ranks.join(device)
        checkpoint = _checkpoint(folder, ranks, recorder) if resume else None
        changed = checkpoint is not None and check_resume(
            checkpoint, settings, dataset, recorder, allow_data_change=allow_data_change
        )
        workshop = assemble(dataset, codec, settings, ranks, device, initialize=checkpoint is None)
        with workshop.feed:
            session = Session(workshop, dataset, settings, folder, ranks, recorder)
            if checkpoint is not None:
                session.restore(checkpoint)
            if changed:
                session.log.event("data changed", session.state.step, session.seconds, fingerprint=dataset.fingerprint)
            if isinstance(session.model, ClosedForm):
                fit_closed_form(session)
            else:
                with StopRequest(shared=ranks.world > 1) as stop:
                    train(session, stop)
            state = session.state
            because = state.stopped or state.because
            return FitResult(state.step, state.best, because, session.seconds, tuple(recorder.warnings))


def _checkpoint(folder: RunFolder, ranks: Ranks, progress: Progress) -> Checkpoint:
    checkpoint = load_checkpoint(folder, "latest", progress=progress)
    first = ranks.decide(checkpoint.step)
    if first != checkpoint.step:
        raise CheckpointError(
            f"Rank {ranks.rank} found step {checkpoint.step} in {folder.path}, rank 0 found step {first}.",
            hint="All processes must see the same run folder.",
        )
    return checkpoint


def train(session: Session, stop: StopRequest) -> None:
    """The loop: batch, one step per player, average, log, watch, save; until a budget is used up."""
    settings, ranks = session.settings, session.ranks
    training, optimizer = settings.training, settings.optimizer
    clock = Clock(session)
    buffers = LiveBuffers(session.model, ranks)
    with session.progress.phase(f"Training {settings.model['name']}", total=session.state.total, unit="steps") as phase:
        clock.begin(phase)
        while not session.finished:
            state = session.state
            share = state.step / state.total if state.total else 0.0
            factor = state.lr_factor * rate(state.step, state.total, warmup=optimizer.warmup, kind=optimizer.schedule)
            batch, rng = session.feed.batch(state.step, state.attempt, share)
            result = update(
                session.optimizers,
                session.loss,
                batch,
                rng,
                factor=factor,
                clip=optimizer.clip,
                ranks=ranks,
                precision=training.precision,
                stop=float(stop.requested),
            )
            if not bool(result.finite):
                session.roll_back("the loss or its gradient is not finite")
                continue
            session.ema.update(state.step)
            buffers.average()
            state.step += 1
            session.averages.add(result.names, result.figures)
            clock.tick(phase)
            if state.step % LOG_EVERY == 0 or session.finished:
                figures = session.averages.read()
                session.log.row("train", state.step, session.seconds, {**figures, "lr": factor * optimizer.lr})
                clock.show(phase, figures)
            if clock.evaluation_due() and not session.evaluate():
                session.roll_back("the held-out loss exploded")
                continue
            stopping = stop.requested if ranks.world == 1 else bool(result.stop > 0)
            if (clock.saving_due() or stopping) and not session.save():
                session.roll_back("a weight is not finite")
                continue
            if clock.sheet_due():
                session.sheet()
            if stopping and not session.finished:
                raise _interrupted(session)


def _interrupted(session: Session) -> InterruptedRunError:
    session.log.event("interrupted", session.state.step, session.seconds)
    return InterruptedRunError(
        f"Stopped on request after step {session.state.step}; everything is saved in {session.folder.path}.",
        hint=f"Go on with: headwater resume {session.folder.path}",
    )
