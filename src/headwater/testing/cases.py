"""Small events, contexts and data on which the laws are checked."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from headwater.events import ContextSpec, Encoding, EventSpec, Segment, Support
from headwater.models.base import Batch, ClosedForm, DataInitialized, GenerativeModel
from headwater.rng import Rng

__all__ = ["Case", "cases", "events"]

_CLASSES = ("a", "b", "c")


def events(encoding: Encoding) -> dict[str, EventSpec]:
    """One event per kind of data, in an encoding: a vector, a table's row, a picture, and two tiny ones."""
    if encoding is Encoding.SUPPORTED:
        return _supported()
    if encoding is not Encoding.NATIVE:
        return {
            "line": EventSpec.real(1),
            "plane": EventSpec.real(2),
            "vector": EventSpec.real(3),
            "table": EventSpec(shape=(5,), segments=tuple(Segment(name=name) for name in "vwxyz")),
            "image": EventSpec.real(1, 4, 6),
        }
    binary = Segment(support=Support.BINARY)
    return {
        "line": EventSpec.real(1),
        "plane": EventSpec.real(2),
        "alphabet": EventSpec(shape=(3,), segments=(binary, Segment(support=Support.CATEGORICAL, classes=3), binary)),
        "vector": EventSpec.real(3),
        "table": EventSpec(
            shape=(4,),
            segments=(
                Segment(name="height"),
                Segment(support=Support.BINARY, name="member"),
                Segment(support=Support.CATEGORICAL, classes=3, name="colour"),
                Segment(support=Support.INTEGER, low=-2, high=60, name="visits"),
            ),
        ),
        "image": EventSpec.pixels(1, 4, 6, levels=5),
    }


def _supported() -> dict[str, EventSpec]:
    """Events in sets that are no vector spaces, each alone, and all in one row."""
    interval = Segment(support=Support.INTERVAL, low=-1, high=3, name="share")
    circle = Segment(support=Support.CIRCLE, name="angle")
    sphere, simplex = (Segment(support=s, size=3, name=s.value) for s in (Support.SPHERE, Support.SIMPLEX))
    mixed = (Segment(size=2), Segment(support=Support.POSITIVE), interval, circle, sphere, simplex)
    return {
        "interval": EventSpec(shape=(1,), segments=(interval,)),
        "circle": EventSpec(shape=(1,), segments=(circle,)),
        "torus": EventSpec(shape=(2,), segments=(circle.model_copy(update={"size": 2}),)),
        "sphere": EventSpec(shape=(3,), segments=(sphere,)),
        "simplex": EventSpec(shape=(3,), segments=(simplex,)),
        "mixed": EventSpec(shape=(11,), segments=mixed),
    }


@dataclass(frozen=True, eq=False)
class Case:
    """A model's class with settings, an event and a context to check it on."""

    cls: type[GenerativeModel]
    settings: Mapping[str, Any]
    name: str
    event: EventSpec
    context: ContextSpec

    def build(self, *, dtype: torch.dtype = torch.float64) -> GenerativeModel:
        """A ready model in eval mode: initialized or fitted on the case's data, moved off any special start."""
        return copy.deepcopy(_built(self, dtype))

    def batch(self, n: int, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> Batch:
        """A batch of ``n`` events of this case with contexts of all classes."""
        rng = Rng.of(seed, n)
        progress = torch.tensor(0.5, dtype=dtype)
        return Batch(self.data(rng, dtype), self.contexts(n, dtype), progress)

    def contexts(self, n: int, dtype: torch.dtype = torch.float64) -> Tensor | None:
        """One-hot contexts that go round the classes; None where the case has no context."""
        if not self.context.size:
            return None
        return torch.eye(self.context.size, dtype=dtype)[torch.arange(n) % self.context.size]

    def data(self, rng: Rng, dtype: torch.dtype) -> Tensor:
        """Events within their supports."""
        columns = [self._column(segment, place.start, rng, dtype) for place, segment in self.event.slices()]
        return torch.cat(columns, dim=1).reshape(rng.n, *self.event.shape)

    @staticmethod
    def _column(segment: Segment, start: int, rng: Rng, dtype: torch.dtype) -> Tensor:
        if not segment.support.discrete:
            return _continuous(segment, rng.normal(f"column {start}", segment.size, dtype=dtype))
        count = segment.cardinality
        assert count is not None
        return (rng.uniform(f"column {start}", segment.size, dtype=dtype) * count).floor() + (segment.low or 0.0)

    def __str__(self) -> str:
        return f"{self.cls.__name__} on {self.name}{' given a label' if self.context.size else ''}"


def _continuous(segment: Segment, noise: Tensor) -> Tensor:
    """Normal noise brought into a support."""
    match segment.support:
        case Support.POSITIVE:
            return noise.exp()
        case Support.INTERVAL | Support.CIRCLE:
            low, high = segment.low or 0.0, 2 * math.pi if segment.high is None else segment.high
            return low + (high - low) * torch.sigmoid(noise)
        case Support.SPHERE:
            return noise / noise.norm(dim=1, keepdim=True)
        case Support.SIMPLEX:
            return torch.softmax(noise, dim=1)
        case _:
            return noise


@functools.lru_cache(maxsize=4)
def _built(case: Case, dtype: torch.dtype) -> GenerativeModel:
    torch.manual_seed(0)
    model = case.cls(case.cls.Config.parse(case.settings, where="model"), case.event, case.context).to(dtype)
    batch, rng = case.batch(64, dtype=dtype), Rng.of(1, 64)
    with torch.no_grad():
        if isinstance(model, DataInitialized):
            model.initialize(batch, rng)
        if isinstance(model, ClosedForm):
            model.fit(batch, rng, case.batch(32, seed=3, dtype=dtype))
    _train_a_little(model.train(), batch, rng)
    return model.eval()


def _train_a_little(model: GenerativeModel, batch: Batch, rng: Rng) -> None:
    """A few steps by the sign of the gradient: leaves zero starts behind and keeps masks as they are."""
    for step in range(4):
        for player in model.players():
            total = model.loss(batch, player.name, rng.fold(step)).total
            gradients = torch.autograd.grad(total, player.parameters, allow_unused=True)
            with torch.no_grad():
                for parameter, gradient in zip(player.parameters, gradients, strict=True):
                    if gradient is not None:
                        parameter.sub_(0.03 * gradient.sign())


def cases(cls: type[GenerativeModel], settings: Mapping[str, Any]) -> Iterator[Case]:
    """Every small case of a model, without and with a label of three classes."""
    for name, event in events(cls.encoding).items():
        yield Case(cls, settings, name, event, ContextSpec())
        yield Case(cls, settings, name, event, ContextSpec(size=len(_CLASSES), classes=_CLASSES))
