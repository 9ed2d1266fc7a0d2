"""A tiny model with a known density, and a run folder made of it: what the tests of the handle stand on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from headwater.data.codec import Codec
from headwater.data.dataset import Dataset, Reading
from headwater.data.schema import Column, Label, Schema
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.models.base import Batch, Density, GenerativeModel, Invertible, Losses, ModelConfig, Options, Player
from headwater.rng import Rng
from headwater.runs.checkpoint import save_checkpoint
from headwater.runs.folder import RunFolder
from headwater.scores import Score
from headwater.settings import DataSettings, RunSettings

CLASSES = ("cat", "dog")


class ToyConfig(ModelConfig):
    width: int = Field(3, ge=1, description="size of a matrix that nothing uses")
    layers: int = Field(1, ge=1, description="number of them")
    spoil: float = Field(0.0, ge=0, le=1, description="share of samples that are NaN")
    skew: float = Field(0.0, description="what the inverse misses by")


class ToySampling(Options):
    temperature: float = Field(1.0, gt=0, description="spread")


class ToyScoring(Options):
    tolerance: float = Field(0.1, gt=0, description="nothing")


@final
class Toy(GenerativeModel, Density, Invertible):
    """``x = shift + W c + z`` with a standard normal z."""

    Config = ToyConfig
    Sampling = ToySampling
    Scoring = ToyScoring
    encoding = Encoding.REAL

    def __init__(self, config: ToyConfig, event: EventSpec, context: ContextSpec) -> None:
        super().__init__()
        self.config, self.event, self.context = config, event, context
        self.shift = nn.Parameter(torch.zeros(event.size))
        self.given = nn.Parameter(torch.zeros(event.size, context.size)) if context.size else None
        self.unused = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(config.layers))

    def players(self) -> tuple[Player, ...]:
        return (Player("model", tuple(self.parameters())),)

    def mean(self, n: int, context: Tensor | None) -> Tensor:
        mean = self.shift.expand(n, -1)
        if self.given is not None and context is not None:
            mean = mean + context @ self.given.T
        return mean.reshape(n, *self.event.shape)

    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        return Losses(-self.log_prob(batch.x, context=batch.context).value.mean(), {})

    def sample(self, n: int, *, context: Tensor | None = None, rng: Rng, **options: Any) -> Tensor:
        z = rng.normal("z", *self.event.shape, dtype=self.shift.dtype)
        x = self.mean(n, context) + options.get("temperature", 1.0) * z
        spoiled = rng.uniform("spoil") < self.config.spoil
        return torch.where(spoiled.reshape(-1, *[1] * len(self.event.shape)), torch.nan, x)

    def log_prob(self, x: Tensor, *, context: Tensor | None = None, rng: Rng | None = None, **budget: Any) -> Score:
        z = self.to_noise(x, context=context)
        return Score(-0.5 * (z**2 + math.log(2 * math.pi)).sum(dim=1), "exact", protocol={"toy": 1})

    def to_noise(self, x: Tensor, *, context: Tensor | None = None) -> Tensor:
        return (x - self.mean(len(x), context)).flatten(1)

    def from_noise(self, z: Tensor, *, context: Tensor | None = None) -> Tensor:
        return z.reshape(-1, *self.event.shape) + self.mean(len(z), context) + self.config.skew


def real_data() -> Dataset:
    """300 rows of two reals with two classes."""
    values = np.random.default_rng(0).normal(size=(300, 2)) * [2, 5] + [1, -3]
    columns = (Column(name="a", map="standard"), Column(name="b", map="standard"))
    label = Label(classes=CLASSES)
    schema = Schema(
        kind="arrays", shape=(2,), dtype="float64", columns=columns, user_shape=(2,), label=label, source="numpy"
    )
    return _dataset(schema, values, np.arange(300) % 2)


def whole_data() -> Dataset:
    """300 rows of two whole numbers, 0..4 and 0..3, without labels."""
    rng = np.random.default_rng(0)
    values = np.stack([rng.integers(0, 5, 300), rng.integers(0, 4, 300)], axis=1)
    columns = tuple(Column(name=n, type="integer", low=0, high=top) for n, top in (("a", 4), ("b", 3)))
    schema = Schema(kind="arrays", shape=(2,), dtype="int64", columns=columns, user_shape=(2,), source="numpy")
    return _dataset(schema, values, None)


def picture_data() -> Dataset:
    """40 pictures of 4 x 6 pixels."""
    values = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 6)).astype(np.uint8)
    schema = Schema(kind="images", shape=(1, 4, 6), dtype="uint8", levels=256, layout="CHW", source="numpy")
    return _dataset(schema, values, None)


def _dataset(schema: Schema, values: np.ndarray, labels: np.ndarray | None) -> Dataset:
    n = len(values)
    splits = {"train": np.arange(n - 20), "valid": np.arange(n - 20, n - 10), "test": np.arange(n - 10, n)}
    return Dataset(Reading(schema, values, labels), np.arange(n).astype(np.uint64), splits, DataSettings())


def make_run(
    path: Path, dataset: Dataset, *, ema: bool = True, label_counts: list[int] | None = None, **model: Any
) -> Path:
    """A finished run of the toy at step 10."""
    codec = Codec.fit(dataset, Encoding.REAL)
    folder = RunFolder.create(path)
    folder.write_settings(RunSettings(model={"name": "toy", **model}, seed=4))
    folder.write_json("run.json", {"seed": 4, "data_fingerprint": dataset.fingerprint, "label_counts": label_counts})
    folder.write_json("schema.json", dataset.schema.to_json())
    folder.write_json("codec.json", codec.to_json())
    built = Toy(ToyConfig(**model), codec.event, codec.context)
    with torch.no_grad():
        if built.given is not None:
            built.given.copy_(torch.tensor([[-4.0, 4.0], [0.0, 0.0]]))
    state = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    groups = {"model": state}
    if ema:
        groups["ema"] = {"shift": torch.full_like(built.shift.data, 0.25)}
    save_checkpoint(folder, 10, groups, {}, keep=1)
    return path
