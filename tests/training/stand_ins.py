"""Tiny models and data for the tests of training; importable by the scripts that run in their own processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from headwater.data.codec import Codec
from headwater.data.dataset import Dataset, Reading
from headwater.data.schema import Column, Label, Schema
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models import registry
from headwater.models.base import (
    Batch,
    ClosedForm,
    DataInitialized,
    GenerativeModel,
    Losses,
    ModelConfig,
    Player,
)
from headwater.rng import Rng
from headwater.runs.folder import RunFolder
from headwater.settings import DataSettings, RunSettings
from headwater.training.fit import FitResult, fit_run
from headwater.training.settings import merge_settings

__all__ = ["FAULT", "arrays", "digits", "fit", "register", "run_settings", "weights"]

# Called with the number of the training loss (from 0); what it returns multiplies the loss.
FAULT: dict[str, Callable[[int], float] | int | None] = {"factor": None, "calls": 0}


def _fault() -> float:
    number = int(FAULT["calls"])
    FAULT["calls"] = number + 1
    factor = FAULT["factor"]
    return factor(number) if callable(factor) else 1.0


class TinyConfig(ModelConfig):
    width: int = Field(8, ge=1, description="hidden width")


class Tiny(GenerativeModel, DataInitialized):
    """A Gaussian with a learned mean per context; its loss draws noise, keeps a running mean, and can be spoiled."""

    Config = TinyConfig
    encoding = Encoding.REAL
    monitor = "nll"
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "optimizer": {"lr": 1e-2},
        "training": {"batch_size": 16, "steps": 30},
    }
    picture_defaults: ClassVar[dict[str, dict[str, Any]]] = {"training": {"batch_size": 7}}

    def __init__(self, config: TinyConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.net = nn.Sequential(nn.Linear(max(context.size, 1), config.width), nn.Tanh())
        self.out = nn.Linear(config.width, event.size)
        self.log_scale = nn.Parameter(torch.zeros(event.size))
        self.register_buffer("running", torch.zeros(event.size))

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def initialize(self, batch: Batch, rng: Rng) -> None:
        self.log_scale.copy_(batch.x.flatten(1).std(dim=0).log())

    def mean(self, context: Tensor | None, n: int) -> Tensor:
        given = self.log_scale.new_ones(n, 1) if context is None else context
        return self.out(self.net(given))

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        x = batch.x.flatten(1)
        x = x + 0.1 * rng.normal("noise", self.event.size, dtype=x.dtype)
        if self.training:
            with torch.no_grad():
                self.running.lerp_(x.mean(dim=0), 0.1)
        z = (x - self.mean(batch.context, len(x))) * torch.exp(-self.log_scale)
        nll = (0.5 * z * z + self.log_scale).sum(dim=1).mean()
        return Losses(nll * _fault() if self.training else nll, {"nll": nll, "spread": self.log_scale.exp().mean()})

    def sample(self, n: int, *, context: Tensor | None = None, rng: Rng, **options: Any) -> Tensor:
        noise = rng.normal("sample", self.event.size, dtype=self.log_scale.dtype)
        return (self.mean(context, n) + noise * torch.exp(self.log_scale)).reshape(n, *self.event.shape)


class Plain(GenerativeModel):
    """Without data-dependent start, buffers or faults: it compiles."""

    Config = TinyConfig
    encoding = Encoding.REAL
    monitor = "loss"

    def __init__(self, config: TinyConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.net = nn.Sequential(nn.Linear(event.size, config.width), nn.Tanh(), nn.Linear(config.width, event.size))

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        x = batch.x.flatten(1)
        noise = rng.normal("noise", self.event.size, dtype=x.dtype)
        return Losses(((self.net(x + noise) - x) ** 2).mean(), {})

    def sample(self, n: int, *, context: Tensor | None = None, rng: Rng, **options: Any) -> Tensor:
        return self.net(rng.normal("z", self.event.size, dtype=self.net[0].weight.dtype)).reshape(n, *self.event.shape)


class Two(GenerativeModel):
    """Two players: a critic that tells events from samples, a generator that fools it."""

    Config = TinyConfig
    encoding = Encoding.SCALED
    compilable = False

    def __init__(self, config: TinyConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        inputs = event.size + context.size
        self.critic = nn.Sequential(nn.Linear(inputs, config.width), nn.SiLU(), nn.Linear(config.width, 1))
        self.generator = nn.Linear(inputs, event.size)
        self.register_buffer("level", torch.zeros(()))

    def players(self) -> tuple[Player, ...]:
        return (
            Player("critic", tuple(self.critic.parameters()), betas=(0.0, 0.9)),
            Player("generator", tuple(self.generator.parameters()), lr_scale=0.5),
        )

    def _with(self, x: Tensor, context: Tensor | None) -> Tensor:
        return x if context is None else torch.cat([x, context], dim=1)

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        x = batch.x.flatten(1)
        z = rng.normal("latent", self.event.size, dtype=x.dtype)
        fake = self.generator(self._with(z, batch.context))
        gap = self.critic(self._with(fake, batch.context)) - self.critic(self._with(x, batch.context))
        if player == "critic":
            with torch.no_grad():
                self.level.lerp_(gap.mean(), 0.1)
            return Losses(nn.functional.softplus(gap).mean(), {"gap": gap.mean()})
        return Losses(nn.functional.softplus(-gap).mean(), {})

    def sample(self, n: int, *, context: Tensor | None = None, rng: Rng, **options: Any) -> Tensor:
        z = rng.normal("sample", self.event.size, dtype=self.generator.weight.dtype)
        return self.generator(self._with(z, context)).reshape(n, *self.event.shape)


class Closed(GenerativeModel, ClosedForm):
    """Mean and spread of the training rows."""

    Config = ModelConfig
    encoding = Encoding.REAL

    def __init__(self, config: ModelConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.register_buffer("mean", torch.zeros(event.size))
        self.register_buffer("spread", torch.ones(event.size))

    def players(self) -> tuple[Player, ...]:
        return ()

    def fit(self, batch: Batch, rng: Rng, held_out: Batch | None = None) -> None:
        x = batch.x
        self.mean.copy_(x.flatten(1).mean(dim=0))
        self.spread.copy_(x.flatten(1).std(dim=0))

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        raise AssertionError("a closed-form model has no loss")

    def sample(self, n: int, *, context: Tensor | None = None, rng: Rng, **options: Any) -> Tensor:
        return (self.mean + self.spread * rng.normal("x", self.event.size)).reshape(n, *self.event.shape)


_STAND_INS = tuple(
    registry.Entry(name, "test", f"tests.training.stand_ins:{cls}", "for tests")
    for name, cls in (("tiny", "Tiny"), ("plain", "Plain"), ("two", "Two"), ("closed", "Closed"))
)


def register(set_attribute: Callable[[Any, str, Any], None] = setattr) -> None:
    """Make the stand-ins known to the registry; a test passes ``monkeypatch.setattr``."""
    if _STAND_INS[0] not in registry._BUILT_IN:
        set_attribute(registry, "_BUILT_IN", (*registry._BUILT_IN, *_STAND_INS))


def _dataset(schema: Schema, storage: np.ndarray, labels: np.ndarray | None) -> Dataset:
    n = len(storage)
    rows = np.random.default_rng(1).permutation(n)
    cuts = (n * 7 // 10, n * 9 // 10)
    splits = {"train": rows[: cuts[0]], "valid": rows[cuts[0] : cuts[1]], "test": rows[cuts[1] :]}
    hashes = np.arange(n, dtype=np.uint64) + np.uint64(int(abs(float(storage.sum())) * 1000))
    return Dataset(Reading(schema, storage, labels), hashes, {k: np.sort(v) for k, v in splits.items()}, DataSettings())


def arrays(n: int = 90, *, seed: int = 0) -> Dataset:
    """Rows of three reals around a mean per class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, size=n)
    x = (labels[:, None] - 1.0) * np.array([2.0, -1.0, 0.5]) + rng.normal(size=(n, 3))
    columns = (Column(name="x", type="real", size=3, map="standard"),)
    label = Label(classes=("a", "b", "c"))
    schema = Schema(kind="arrays", shape=(3,), dtype="float32", columns=columns, user_shape=(3,), label=label)
    return _dataset(schema, x.astype(np.float32), labels)


def digits(n: int = 90) -> Dataset:
    """Pictures of 4 x 4 pixels: a bright row on dark ground."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, size=n)
    x = rng.integers(0, 5, size=(n, 1, 4, 4))
    x[np.arange(n), 0, labels] += 10
    label = Label(classes=("a", "b", "c"))
    schema = Schema(kind="images", shape=(1, 4, 4), dtype="uint8", levels=16, layout="HW", label=label)
    return _dataset(schema, x.astype(np.uint8), labels)


def run_settings(
    model: str,
    *,
    seed: int = 3,
    section: dict[str, Any] | None = None,
    optimizer: dict[str, Any] | None = None,
    **training: Any,
) -> RunSettings:
    """Settings of a short run."""
    section = {"name": model, **(section or {})}
    small = {"batch_size": 16, "steps": 12, "evaluate_every": 6, "compile": "off"}
    values = {"seed": seed, "device": "cpu", "model": section, "training": {**small, **training}}
    return merge_settings({**values, "optimizer": optimizer or {}}, registry.load_class(model))


def fit(path: Any, settings: RunSettings, dataset: Dataset | None = None, **options: Any) -> FitResult:
    """Run, holding the folder as the callers of ``fit_run`` do."""
    dataset = dataset or arrays()
    codec = Codec.fit(dataset, registry.load_class(str(settings.model["name"])).encoding)
    folder = RunFolder.create(path, exist_ok=True)
    with folder.writing():
        return fit_run(dataset, codec, settings, folder, **options)


def weights(path: Any, step: int) -> dict[str, str]:
    """sha256 of each tensor file of a checkpoint."""
    import json

    manifest = json.loads((RunFolder(path).checkpoints / f"{step:06d}" / "manifest.json").read_text())
    return {f["name"]: f["sha256"] for f in manifest["files"] if f["name"].endswith(".safetensors")}
