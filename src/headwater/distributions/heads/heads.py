"""All heads of an event: which element is read from which numbers, grouped so that no loop runs over elements."""

from __future__ import annotations

from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headwater.distributions.heads.continuous import IntervalHead, PositiveHead, RealHead
from headwater.distributions.heads.countable import BinaryHead, CategoricalHead, LogisticHead
from headwater.distributions.heads.head import Head
from headwater.errors import UsageError
from headwater.events import EventSpec, Segment, Support
from headwater.networks.columns import Columns
from headwater.rng import Rng

__all__ = ["Heads", "numbers_from_maps"]

_FEW = 32  # integers with at most this many values get a probability each


@final
class Heads(nn.Module):
    """A distribution per element of an event, read from a network's output; elements are independent given it.

    ``log p(x | params) = sum_i log p_i(x_i | params_i)``. The numbers of element i (in
    flattened order) are contiguous: ``params`` is ``(batch, sum(parameter_sizes))``. For a
    convolutional decoder see :meth:`from_channels`.

    | support | head |
    |---|---|
    | real | Gaussian, or a mixture of them |
    | positive, interval | the same on ``log x``, on ``logit x`` |
    | integer | categorical up to 32 values, else discretized logistic mixture |
    | binary, categorical | Bernoulli, categorical |

    Args:
        event: Shape and supports.
        mixtures: Components of each mixture.
        real: ``gaussian`` (one component) or ``mixture``, for continuous elements.
        integer: ``logistic``, ``categorical``, or ``auto`` as in the table.

    Raises:
        UsageError: a support that has no head here (circle, sphere, simplex).

    >>> heads = Heads(EventSpec.pixels(1, 2, 2), mixtures=3)
    >>> heads.parameter_sizes, heads.feature_sizes
    ((9, 9, 9, 9), (1, 1, 1, 1))
    >>> heads.log_prob(torch.zeros(5, 36), torch.zeros(5, 4)).shape
    torch.Size([5, 4])
    """

    def __init__(
        self,
        event: EventSpec,
        *,
        mixtures: int = 8,
        real: Literal["gaussian", "mixture"] = "gaussian",
        integer: Literal["auto", "logistic", "categorical"] = "auto",
    ) -> None:
        super().__init__()
        self.event = event
        elements = [segment for segment in event.segments for _ in range(segment.size)]
        groups: dict[tuple[object, ...], list[int]] = {}
        for index, segment in enumerate(elements):
            groups.setdefault(_key(segment, integer), []).append(index)
        components = mixtures if real == "mixture" else 1
        self.groups = nn.ModuleList(
            _build(key, [elements[i] for i in members], mixtures, components) for key, members in groups.items()
        )
        self._members = tuple(groups.values())
        self._lay_out(len(elements))

    def _lay_out(self, count: int) -> None:
        """Where each element and its numbers lie."""
        self.place: tuple[tuple[int, int], ...] = tuple(
            place
            for _, place in sorted(
                (index, (g, k)) for g, members in enumerate(self._members) for k, index in enumerate(members)
            )
        )
        self.parameter_sizes: tuple[int, ...] = tuple(self.head(i).size for i in range(count))
        self.feature_sizes: tuple[int, ...] = tuple(self.head(i).feature_size for i in range(count))
        total = sum(self.parameter_sizes)
        self.elements = nn.ModuleList(Columns(members, of=count) for members in self._members)
        self.numbers = nn.ModuleList(
            Columns(_spread(members, self.parameter_sizes), of=total) for members in self._members
        )
        order = [index for members in self._members for index in members]
        self.order, self.feature_order = Columns.inverse(order), Columns.inverse(_spread(order, self.feature_sizes))

    def head(self, index: int) -> Head:
        """The head that element ``index`` belongs to."""
        head = self.groups[self.place[index][0]]
        assert isinstance(head, Head)
        return head

    def _grouped(self, params: Tensor) -> list[tuple[Head, Tensor]]:
        found: list[tuple[Head, Tensor]] = []
        for head, numbers in zip(self.groups, self.numbers, strict=True):
            assert isinstance(head, Head)
            found.append((head, numbers(params).reshape(len(params), -1, head.size)))
        return found

    def _merge(self, parts: list[Tensor]) -> Tensor:
        merged: Tensor = self.order(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
        return merged

    def log_prob(
        self, params: Float[Tensor, "batch numbers"], x: Float[Tensor, "batch elements"]
    ) -> Float[Tensor, "batch elements"]:
        """``log p_i(x_i | params_i)`` of each element, in nats (``x`` flattened)."""
        grouped = self._grouped(params.to(x.dtype))  # autocast's bfloat16 stops before the exponentials
        return self._merge(
            [h.log_prob(p, elements(x)) for elements, (h, p) in zip(self.elements, grouped, strict=True)]
        )

    def sample(
        self, params: Float[Tensor, "batch numbers"], rng: Rng, *, temperature: float = 1.0
    ) -> Float[Tensor, "batch elements"]:
        """A draw of every element; ``temperature`` sharpens (below 1) or flattens each distribution."""
        return self._merge([h.sample(p, rng.fold(g), temperature) for g, (h, p) in enumerate(self._grouped(params))])

    def mode(self, params: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch elements"]:
        """The most typical value of every element, inside its support."""
        return self._merge([head.mode(p) for head, p in self._grouped(params)])

    def mean(self, params: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch elements"]:
        """The expected value of every element (of ``log x`` and ``logit x`` where those are modelled)."""
        return self._merge([head.mean(p) for head, p in self._grouped(params)])

    def features(self, x: Float[Tensor, "batch elements"]) -> Float[Tensor, "batch features"]:
        """Network-ready: reals softly clipped, whole numbers in [-1, 1], coins +-1, categories one-hot."""
        parts = []
        for head, elements in zip(self.groups, self.elements, strict=True):
            assert isinstance(head, Head)
            parts.append(head.features(elements(x)).flatten(1))
        features: Tensor = self.feature_order(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
        return features

    def from_channels(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch numbers"]:
        """:func:`numbers_from_maps` of a picture that has one head for all its elements."""
        return numbers_from_maps(maps, self.event.shape[0])

    def extra_repr(self) -> str:
        return f"{self.event}, {sum(self.parameter_sizes)} numbers"

    def log_prob_element(
        self, index: int, params: Float[Tensor, "batch p"], x: Float[Tensor, " batch"]
    ) -> Float[Tensor, " batch"]:
        """``log p_i(x_i)`` of element ``index`` from its own numbers."""
        at = slice(self.place[index][1], self.place[index][1] + 1)
        return self.head(index).log_prob(params[:, None], x[:, None], at)[:, 0]

    def sample_element(
        self, index: int, params: Float[Tensor, "batch p"], rng: Rng, *, temperature: float = 1.0
    ) -> Float[Tensor, " batch"]:
        """A draw of element ``index`` from its own numbers; draws of different elements are independent."""
        at = slice(self.place[index][1], self.place[index][1] + 1)
        return self.head(index).sample(params[:, None], rng.fold(index), temperature, at)[:, 0]

    def features_element(self, index: int, x: Float[Tensor, " batch"]) -> Float[Tensor, "batch f"]:
        """Features of element ``index``."""
        at = slice(self.place[index][1], self.place[index][1] + 1)
        return self.head(index).features(x[:, None], at)[:, 0]


def numbers_from_maps(
    maps: Float[Tensor, "batch channels height width"], colours: int
) -> Float[Tensor, "batch numbers"]:
    """Maps of a convolutional decoder as params: map ``c * p + j`` holds number j of colour c."""
    batch, channels, height, width = maps.shape
    return maps.reshape(batch, colours, channels // colours, height, width).permute(0, 1, 3, 4, 2).flatten(1)


def _spread(members: list[int], sizes: tuple[int, ...]) -> list[int]:
    """Places of all numbers of these elements."""
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    return [n for index in members for n in range(starts[index], starts[index + 1])]


def _key(segment: Segment, integer: str) -> tuple[object, ...]:
    """Elements with equal keys share a head."""
    if segment.support is Support.INTEGER:
        cardinality = segment.cardinality
        assert cardinality is not None
        few = integer == "categorical" or (integer == "auto" and cardinality <= _FEW)
        return (Support.INTEGER, cardinality) if few else (Support.INTEGER,)
    if segment.support is Support.CATEGORICAL:
        return (Support.CATEGORICAL, segment.classes)
    if segment.support in (Support.REAL, Support.POSITIVE, Support.INTERVAL, Support.BINARY):
        return (segment.support,)
    raise UsageError(
        f"No head models elements of support {segment.support.value!r} (of {segment.name or 'the event'}).",
        hint="Choose a model with the encoding 'real', such as nsf, or describe the element as reals in the schema.",
    )


def _build(key: tuple[object, ...], elements: list[Segment], mixtures: int, components: int) -> Head:
    match key:
        case (Support.REAL,):
            return RealHead(elements, components)
        case (Support.POSITIVE,):
            return PositiveHead(elements, components)
        case (Support.INTERVAL,):
            return IntervalHead(elements, components)
        case (Support.BINARY,):
            return BinaryHead(elements)
        case (Support.INTEGER,):
            return LogisticHead(elements, mixtures)
        case _:
            return CategoricalHead(elements, ordered=key[0] is Support.INTEGER)
