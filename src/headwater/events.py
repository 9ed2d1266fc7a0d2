"""What a model sees: the shape of an event, the support of each element, the context, the encoding.

``data`` and ``models`` do not know each other; they meet here. Nothing in this
file needs torch, so that schemas and command lines stay light.
"""

from __future__ import annotations

import math
from enum import StrEnum

from pydantic import Field, model_validator

from headwater.config import Config

__all__ = ["ContextSpec", "Encoding", "EventSpec", "Segment", "Support"]


class Support(StrEnum):
    """The set in which an element lives; it decides codec, base density and head."""

    REAL = "real"
    POSITIVE = "positive"
    INTERVAL = "interval"
    CIRCLE = "circle"
    SPHERE = "sphere"
    SIMPLEX = "simplex"
    INTEGER = "integer"
    BINARY = "binary"
    CATEGORICAL = "categorical"

    @property
    def discrete(self) -> bool:
        """Whether the support is countable, so that a density on it is a probability."""
        return self in (Support.INTEGER, Support.BINARY, Support.CATEGORICAL)


class Encoding(StrEnum):
    """How a model wants its events; the codec makes them so and accounts for the log-determinant.

    ``native``: reals are standardized, discrete elements stay discrete (codes as
    whole floats) with their true supports. For heads: VAE, autoregressive models.

    ``real``: every element is an unbounded real; discrete ones are dequantized and
    bounded ones pass a logit, so a density model gives a bound on the data's own
    likelihood (exact where nothing was discrete). For flows and mixtures.

    ``scaled``: every element is real with spread about one and pictures lie in
    [-1, 1] (dequantized, no logit). For diffusion, flow matching and GANs.

    ``supported``: as ``real``, but intervals, angles, unit vectors and compositions
    stay what they are. For flows that know these supports.
    """

    NATIVE = "native"
    REAL = "real"
    SCALED = "scaled"
    SUPPORTED = "supported"


class Segment(Config):
    """A run of consecutive elements, in flattened order, that share one support.

    ``low`` and ``high`` bound intervals and integers (both ends included for
    integers), and are one place of a circle (0 and 2 pi if not given). ``classes`` is the
    number of categories; categorical elements hold codes 0 .. classes-1, binary elements
    0 or 1, all as whole floats. Where ``missing``, the last class says that there is no value,
    as a gap of an alignment does. A sphere's elements are one unit vector, those of a
    simplex one composition: parts that sum to one.
    """

    support: Support = Support.REAL
    size: int = Field(1, ge=1, description="number of consecutive elements")
    low: float | None = Field(None, description="least value (interval, integer)")
    high: float | None = Field(None, description="greatest value (interval, integer)")
    classes: int | None = Field(None, ge=1, description="number of categories (categorical)")
    missing: bool = Field(False, description="whether the last class stands for a missing value (categorical)")
    name: str = Field("", description="the column it came from, for messages and plots")

    @model_validator(mode="after")
    def _bounds_fit_the_support(self) -> Segment:
        if self.support in (Support.INTEGER, Support.INTERVAL) and (
            self.low is None or self.high is None or self.low > self.high
        ):
            raise ValueError(f"a segment of support {self.support} needs low <= high")
        if self.support in (Support.SPHERE, Support.SIMPLEX) and self.size < 2:
            raise ValueError(f"a segment of support {self.support} needs at least two elements")
        if self.support is Support.CIRCLE and not (0.0 if self.low is None else self.low) < (
            2 * math.pi if self.high is None else self.high
        ):
            raise ValueError("a segment of support circle needs low < high")
        if self.support is Support.CATEGORICAL and self.classes is None:
            raise ValueError("a categorical segment needs its number of classes")
        if self.missing and (self.support is not Support.CATEGORICAL or (self.classes or 0) < 2):
            raise ValueError("only a categorical segment of two classes or more can have a class for missing values")
        return self

    @property
    def cardinality(self) -> int | None:
        """How many values an element can take; None where that is not finite."""
        if self.support is Support.BINARY:
            return 2
        if self.support is Support.INTEGER:
            assert self.low is not None
            assert self.high is not None
            return int(self.high - self.low) + 1
        return self.classes


class EventSpec(Config):
    """Shape and supports of an event: a row ``(columns,)`` or a picture ``(channels, height, width)``.

    >>> EventSpec.real(3)
    EventSpec((3,), real)
    >>> EventSpec.pixels(1, 8, 8, levels=17)
    EventSpec((1, 8, 8), integer[0, 16])
    """

    shape: tuple[int, ...]
    segments: tuple[Segment, ...]

    @model_validator(mode="after")
    def _segments_cover_the_shape(self) -> EventSpec:
        covered = sum(segment.size for segment in self.segments)
        if covered != math.prod(self.shape):
            raise ValueError(f"segments cover {covered} elements, shape {self.shape} has {math.prod(self.shape)}")
        return self

    @classmethod
    def real(cls, *shape: int) -> EventSpec:
        """An event of unbounded reals."""
        return cls(shape=shape, segments=(Segment(size=math.prod(shape)),))

    @classmethod
    def pixels(cls, channels: int, height: int, width: int, *, levels: int = 256) -> EventSpec:
        """A picture of integers 0 .. levels-1."""
        size = channels * height * width
        segment = Segment(support=Support.INTEGER, size=size, low=0, high=levels - 1)
        return cls(shape=(channels, height, width), segments=(segment,))

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        """Whether events are pictures, shaped (channels, height, width)."""
        return len(self.shape) == 3

    @property
    def is_real(self) -> bool:
        """Whether every element is an unbounded real."""
        return all(segment.support is Support.REAL for segment in self.segments)

    @property
    def is_discrete(self) -> bool:
        """Whether every element is discrete."""
        return all(segment.support.discrete for segment in self.segments)

    def slices(self) -> tuple[tuple[slice, Segment], ...]:
        """Each segment with its place in the flattened event."""
        places, start = [], 0
        for segment in self.segments:
            places.append((slice(start, start + segment.size), segment))
            start += segment.size
        return tuple(places)

    def __repr__(self) -> str:
        parts = []
        for segment in self.segments[:8]:
            text = segment.support.value
            if segment.classes is not None:
                text += f"[{segment.classes}]"
            elif segment.low is not None and segment.high is not None:
                text += f"[{segment.low:g}, {segment.high:g}]"
            parts.append(text if len(self.segments) == 1 else f"{segment.size} {text}")
        more = f", +{len(self.segments) - 8} more" if len(self.segments) > 8 else ""
        return f"EventSpec({self.shape}, {', '.join(parts)}{more})"

    __str__ = __repr__


class ContextSpec(Config):
    """What a conditional model is given: a vector per event, all zeros meaning "no context".

    A label is one-hot. Columns are standardized and followed by a constant one, so
    that zero stays free for "absent"; guidance and label dropout write zeros.
    """

    size: int = Field(0, ge=0, description="length of the context vector; 0 for an unconditional model")
    classes: tuple[str, ...] = Field((), description="label names, where the context is a one-hot label")

    @model_validator(mode="after")
    def _one_hot_of_the_classes(self) -> ContextSpec:
        if self.classes and len(self.classes) != self.size:
            raise ValueError(f"{len(self.classes)} classes need a context of that size, got {self.size}")
        return self
