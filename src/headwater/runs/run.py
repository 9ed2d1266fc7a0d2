"""A trained run in the user's hands: sample, score, encode and decode in the data's own form."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from headwater.data.codec import Codec
from headwater.data.schema import Schema
from headwater.errors import UsageError
from headwater.models.base import GenerativeModel
from headwater.progress import Progress
from headwater.runs.checkpoint import Checkpoint, Which, load_checkpoint
from headwater.runs.codes import decode_codes, encode_raw
from headwater.runs.device import choose_device
from headwater.runs.folder import RunFolder
from headwater.runs.labels import LabelArgument, draw_labels, label_codes
from headwater.runs.opening import open_codec, open_model
from headwater.runs.reading import training_data
from headwater.runs.reporter import PythonWarnings
from headwater.runs.sampling import check_finite, model_device, sample_events
from headwater.runs.scoring import score_raw
from headwater.scores import Score
from headwater.settings import RunSettings

if TYPE_CHECKING:
    from headwater.data.dataset import Dataset

__all__ = ["Run"]


@final
class Run:
    """A run folder, opened. Nothing it holds is executed: its model is found by name in the registry.

    Made by :meth:`load`; weights are read when they are first needed.
    """

    def __init__(self, folder: RunFolder, which: Which, weights: str, device: str, progress: Progress) -> None:
        self.folder, self.which, self.weights = folder, which, weights
        self._device, self._progress = device, progress

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        checkpoint: Which = "best-or-latest",
        weights: str = "ema",
        device: str = "auto",
        progress: Progress | None = None,
    ) -> Run:
        """Open a run.

        Args:
            path: Its folder.
            checkpoint: ``best``, ``latest``, ``best-or-latest`` or a step.
            weights: The averaged ones (``ema``, where the run has them) or the last ones (``model``).
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.
            progress: Is warned, such as of a damaged checkpoint that was passed over.

        Raises:
            UsageError: no such run or device; offers the nearest name.
            CheckpointError: not a run, a damaged one, or one of a newer version.
            ConfigError: its settings are not accepted.
        """
        if weights not in ("ema", "model"):
            raise UsageError(f"weights is 'ema' or 'model', got {weights!r}.")
        run = cls(RunFolder.open(path), checkpoint, weights, device, progress or PythonWarnings())
        assert run.settings is not None  # settings and checkpoint are read now, so that errors come at once
        assert run.checkpoint is not None
        return run

    def __repr__(self) -> str:
        return f"Run({self.name!r}, model={self.settings.model.get('name')!r}, step={self.step})"

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.folder.path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def settings(self) -> RunSettings:
        """All settings it was trained with."""
        return self.folder.read_settings()

    @cached_property
    def record(self) -> dict[str, Any]:
        """``run.json``: versions, machine, seed, command, data fingerprint."""
        return self.folder.read_json("run.json")

    @cached_property
    def schema(self) -> Schema:
        """What its data is."""
        return Schema.from_json(self.folder.read_json("schema.json"), where=str(self.folder.path / "schema.json"))

    @cached_property
    def codec(self) -> Codec:
        """Raw data to events and back, on the model's device."""
        return open_codec(self.folder, self.settings, choose_device(self._device))

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The verified checkpoint in use."""
        only = ("model", "ema") if self.weights == "ema" else ("model",)
        return load_checkpoint(self.folder, self.which, only=only, progress=self._progress)

    @property
    def step(self) -> int:
        """Optimizer steps done at this checkpoint."""
        return self.checkpoint.step

    @cached_property
    def model(self) -> GenerativeModel:
        """The model in eval mode, without gradients.

        Raises:
            CheckpointError: the weights do not fit the settings (a diff by name) or are not finite.
        """
        return open_model(self.settings, self.codec, self.checkpoint, choose_device(self._device))

    def dataset(self, data: Any = None, *, progress: Progress | None = None) -> Dataset:
        """The data it was trained on, read again; see :func:`headwater.runs.reading.training_data`."""
        return training_data(self.name, self.settings, self.record, data, progress or self._progress)

    def read(self, data: Any, *, progress: Progress | None = None) -> tuple[Tensor, Tensor | None]:
        """Other data of the same kind as raw rows and labels: a path, or a value like those sampled.

        Raises:
            DataError: it cannot be read by this run's schema.
        """
        if isinstance(data, str | Path):
            (progress or self._progress).note(f"Reading {data}")
            return self.codec.from_user(Path(data), self.settings.data)
        return self.codec.from_user(data)

    def labels(self, label: LabelArgument, n: int, *, seed: int = 0) -> Tensor | None:
        """Class numbers of ``n`` events; None draws them as frequent as in training, where that was counted."""
        if label is None:
            return draw_labels(self.record, n, self.codec.context, seed)
        return label_codes(label, n, self.codec.context)

    def sample_events(
        self,
        n: int,
        *,
        label: LabelArgument = None,
        seed: int = 0,
        batch_size: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Tensor:
        """``n`` new events in the model's own encoding, ``(n, *event_shape)``; see :meth:`sample`."""
        return sample_events(
            self.model,
            self.codec,
            n,
            labels=self.labels(label, n, seed=seed),
            seed=seed,
            batch_size=batch_size,
            progress=progress or self._progress,
            options=options,
        )

    def sample(
        self,
        n: int,
        *,
        label: LabelArgument = None,
        seed: int = 0,
        batch_size: int | None = None,
        progress: Progress | None = None,
        **options: Any,
    ) -> Any:
        """``n`` new data of the same kind as those trained on: a frame, an array, a tensor, pictures.

        Args:
            n: How many.
            label: A class for all or one each; None: as frequent as in training.
            seed: Another seed, other samples. Sample i never depends on ``n`` or ``batch_size``.
            batch_size: Samples at a time, for memory.
            progress: Advances by samples.
            options: The model's own, such as ``temperature`` or ``guidance``.

        Raises:
            UsageError: ``n`` below one, an unknown label, or an option that the model does not have.
            DivergenceError: more than 1 % of the samples hold NaN or infinity; fewer are a warning.
        """
        report = progress or self._progress
        events = self.sample_events(n, label=label, seed=seed, batch_size=batch_size, progress=report, **options)
        check_finite(events, report)
        return self._to_user(events, self.labels(label, n, seed=seed))

    def log_prob(
        self,
        x: Any,
        *,
        label: LabelArgument = None,
        draws: int | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        progress: Progress | None = None,
        allow_inexact: bool = False,
        **budget: Any,
    ) -> Score:
        """How likely each datum is: a log-likelihood in nats, in the data's own units, with its kind.

        Args:
            x: Data of the kind trained on, or a path.
            label: Classes to condition on; None: those that come with the data.
            draws: Draws of noise per datum (more is tighter); see :func:`headwater.runs.scoring.score_raw`.
            seed: Of those draws.
            batch_size: Data at a time, for memory.
            progress: Advances by data.
            allow_inexact: Score although the model's inverse fails its self-check.
            budget: The model's own scoring options.

        Raises:
            UsageError: the model has no density; says which models have.
            DataError: the data does not fit the run's schema.
            DivergenceError: the model's inverse or more than 1 % of the scores is unusable.
        """
        raw, labels = self.read(x, progress=progress)
        if label is not None:
            labels = label_codes(label, len(raw), self.codec.context)
        return self.score_raw(
            raw,
            labels,
            draws=draws,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
            allow_inexact=allow_inexact,
            **budget,
        )

    def score_raw(
        self, raw: Tensor, labels: Tensor | None, *, progress: Progress | None = None, **options: Any
    ) -> Score:
        """Like :meth:`log_prob`, of raw rows and labels as :meth:`read` gives them, with the same options."""
        return score_raw(self.model, self.codec, raw, labels, progress=progress or self._progress, **options)

    def encode(self, x: Any, *, label: LabelArgument = None, seed: int = 0) -> Tensor:
        """The code of each datum: a VAE's latent, a flow's or an ODE's noise; ``(batch, size)``, on the CPU.

        Raises:
            UsageError: the model has no codes.
        """
        raw, labels = self.read(x)
        if label is not None:
            labels = label_codes(label, len(raw), self.codec.context)
        return encode_raw(self.model, self.codec, raw, labels, seed)

    def decode(self, codes: Any, *, label: LabelArgument = None) -> Any:
        """Data of the kind trained on from codes; the inverse of :meth:`encode` for invertible models.

        Raises:
            UsageError: the model has no codes.
        """
        z = torch.as_tensor(codes)
        labels = label_codes(label, len(z), self.codec.context)
        return self._to_user(decode_codes(self.model, self.codec, z, labels), labels)

    def recipe(self, **details: Any) -> dict[str, Any]:
        """What it takes to make a sample file again; every such file carries it.

        Args:
            details: Number, label, seed, options: what the samples were made with.
        """
        section = self.settings.model
        return {
            "run": self.name,
            "model": section.get("name"),
            "checkpoint": self.checkpoint.digest,
            "step": self.step,
            "weights": "ema" if "ema" in self.checkpoint.groups else "model",
            **details,
            "headwater": version("headwater"),
            "torch": torch.__version__,
        }

    def _to_user(self, events: Tensor, labels: Tensor | None) -> Any:
        raw = self.codec.decode(events.to(model_device(self.codec))).cpu()
        return self.codec.to_user(raw, labels)
