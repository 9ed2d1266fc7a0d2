"""The contract every model obeys, and the capabilities a model may declare.

A model is an ``nn.Module`` built from ``(config, event, context)``. It is *final*:
nobody derives from a concrete model. What it can do beyond training and sampling
is declared by inheriting a capability class and asked with ``isinstance``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.config import Config
from headwater.events import ContextSpec, Encoding, EventSpec
from headwater.rng import Rng
from headwater.scores import Score

__all__ = [
    "Batch",
    "ClosedForm",
    "Comparing",
    "DataInitialized",
    "Density",
    "GenerativeModel",
    "Gradual",
    "Invertible",
    "Latent",
    "Losses",
    "ModelConfig",
    "Options",
    "Paper",
    "Player",
]


class Paper(NamedTuple):
    """A reference: what ``headwater cite`` prints."""

    key: str
    title: str
    authors: str
    year: int
    url: str


class ModelConfig(Config):
    """Base of every model's configuration (architecture only: training settings live elsewhere)."""


class Options(Config):
    """Base of a model's sampling or scoring options, validated where they enter."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Encoded events on the model's device.

    Args:
        x: Events, in the encoding the model asked for.
        context: Context vectors, zeros for "absent"; None for an unconditional model.
        progress: Scalar in [0, 1], the share of the training budget that is used; for schedules.
        weight: How much each event counts, where data is weighted; for closed-form models that are ``weighted``.
        rows: Number of training events, in effect (the sum of their weights), where all of them or the first are given.
    """

    x: Float[Tensor, "batch *event"]
    context: Float[Tensor, "batch context"] | None = None
    progress: Float[Tensor, ""] = field(default_factory=lambda: torch.zeros(()))
    weight: Float[Tensor, " batch"] | None = None
    rows: float = 0.0


class Losses(NamedTuple):
    """A scalar to minimize and the named terms to log; tensors only, nothing synchronizes."""

    total: Float[Tensor, ""]
    terms: Mapping[str, Float[Tensor, ""]]


class Player(NamedTuple):
    """A named set of parameters with an optimizer of its own.

    ``lr_scale`` multiplies the learning rate; ``betas`` replaces Adam's, where given.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    lr_scale: float = 1.0
    betas: tuple[float, float] | None = None


class GenerativeModel(nn.Module, ABC):
    """A learned distribution over events.

    Class attributes:
        Config: the frozen configuration.
        Sampling: options of :meth:`sample`.
        Scoring: options (the budget) of ``log_prob``, where the model is a :class:`Density`.
        encoding: how it wants events.
        papers: what it stands on.
        defaults: settings of the sections ``training`` and ``optimizer`` it is good with;
            the user's own settings go on top.
        picture_defaults: what replaces some of them where events are pictures.
        monitor: name of the loss term to watch on held-out data (lower is better), or
            None where the loss says nothing about quality (GANs).
        compilable: whether ``torch.compile`` may be used on the loss; not where gradients are
            taken twice (gradient penalties).
    """

    Config: ClassVar[type[ModelConfig]]
    Sampling: ClassVar[type[Options]] = Options
    Scoring: ClassVar[type[Options]] = Options
    encoding: ClassVar[Encoding]
    papers: ClassVar[tuple[Paper, ...]] = ()
    defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    picture_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    monitor: ClassVar[str | None] = None
    compilable: ClassVar[bool] = True

    config: ModelConfig
    event: EventSpec
    context: ContextSpec

    @abstractmethod
    def players(self) -> tuple[Player, ...]:
        """Who trains what; empty for a model that is fitted in closed form."""

    @abstractmethod
    def loss(self, batch: Batch, player: str, rng: Rng) -> Losses:
        """The mean loss of one player on a batch (``rng`` has one key per event).

        A mean over events, so that shards of equal size average to the loss of the
        whole batch; no host synchronization and static shapes, so that it compiles.
        """

    @abstractmethod
    def sample(
        self, n: int, *, context: Float[Tensor, "n context"] | None = None, rng: Rng, **options: Any
    ) -> Float[Tensor, "n *event"]:
        """``n`` new events; row i depends on ``rng.keys[i]`` and ``context[i]`` alone."""


class Density(ABC):
    """Can say how likely an event is."""

    @abstractmethod
    def log_prob(
        self,
        x: Float[Tensor, "batch *event"],
        *,
        context: Float[Tensor, "batch context"] | None = None,
        rng: Rng | None = None,
        **budget: Any,
    ) -> Score:
        """``log p(x | context)`` per event in nats, with its kind. Stochastic ones need ``rng``."""


class Comparing(ABC):
    """Can say how much likelier one event is than another, also where the likelihood's normalizer is unknown."""

    @abstractmethod
    def log_ratio(
        self,
        x: Float[Tensor, "batch *event"],
        reference: Float[Tensor, "*event"],
        *,
        rng: Rng | None = None,
        draws: int = 1,
    ) -> Score:
        """``log p(x) - log p(reference)`` per event in nats.

        Where it is estimated, draw k uses the same noise for every event and for the reference (common random
        numbers), the value is the mean over ``draws`` and ``stderr`` its standard error; then ``rng``, of one key, is
        needed. Where it is exact, both are ignored.
        """


class Latent(ABC):
    """Has a code for each event."""

    @abstractmethod
    def encode(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch latent"]:
        """The (mean) code of each event."""

    @abstractmethod
    def decode(
        self, z: Float[Tensor, "batch latent"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        """The most typical event of each code (means and modes, no noise)."""


class Invertible(ABC):
    """Carries events to noise and back without loss."""

    @abstractmethod
    def to_noise(
        self, x: Float[Tensor, "batch *event"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch noise"]:
        """The noise an event comes from."""

    @abstractmethod
    def from_noise(
        self, z: Float[Tensor, "batch noise"], *, context: Float[Tensor, "batch context"] | None = None
    ) -> Float[Tensor, "batch *event"]:
        """The event a noise becomes."""


class Gradual(ABC):
    """Carries noise to events by stages that can be looked at: the layers of a flow, the times of an equation.

    Class attributes:
        stages_are_events: whether what lies in between is in the events' own coordinates, as along an equation, or
            in hidden ones, as between the layers of a flow.
    """

    stages_are_events: ClassVar[bool]

    @abstractmethod
    def stages(
        self, z: Float[Tensor, "batch noise"], count: int, *, context: Float[Tensor, "batch context"] | None = None
    ) -> tuple[Float[Tensor, "batch noise"], ...]:
        """The noise first, the flattened events last; at most ``count >= 2`` in all."""


class DataInitialized(ABC):
    """Sets some parameters from the first batch (ActNorm, output biases).

    Class attributes:
        first_events: how many events that batch holds, at most.
    """

    first_events: ClassVar[int] = 1024

    @abstractmethod
    def initialize(self, batch: Batch, rng: Rng) -> None:
        """Called once, before the first step, without gradients."""


class ClosedForm(ABC):
    """Is fitted to all training data at once; has no players, no steps and no loss.

    Class attributes:
        weighted: whether it heeds ``batch.weight``; else weighted data is resampled for it.
    """

    weighted: ClassVar[bool] = False

    @abstractmethod
    def fit(self, batch: Batch, rng: Rng, held_out: Batch | None = None) -> None:
        """Fit to all training events; ``held_out`` ones may choose between settings.

        What is learned is stored in buffers, so that it saves like any model.
        """
