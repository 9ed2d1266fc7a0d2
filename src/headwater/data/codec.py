"""The codec: raw rows to events and back, with the log-determinant that keeps likelihoods in the data's own units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from headwater.data.codecs.base import Part
from headwater.data.codecs.plan import plan_columns, plan_pixels
from headwater.data.codecs.registry import part_from_json
from headwater.data.context import ContextCodec
from headwater.data.schema import Schema
from headwater.errors import CheckpointError, DataError
from headwater.events import ContextSpec, Encoding, EventSpec, Segment, Support
from headwater.rng import Rng
from headwater.settings import DataSettings

if TYPE_CHECKING:
    from headwater.data.dataset import Dataset

__all__ = ["Codec"]

_FIT_ROWS = 262_144
_FIT_ELEMENTS = 32_000_000
_DTYPES = {
    "uint8": torch.uint8, "int8": torch.int8, "int16": torch.int16, "int32": torch.int32, "int64": torch.int64,
    "uint16": torch.int32, "uint32": torch.int64, "bool": torch.bool,
    "float16": torch.float32, "float32": torch.float32, "float64": torch.float64,
}  # fmt: skip


class Codec(nn.Module):
    """An invertible map of raw rows ``v`` to events ``x``: ``log p(v) = log p(x) + ladj``.

    ``log p(v)`` is a density per original unit over continuous columns and a probability
    over discrete ones. Where encoding draws noise (:attr:`stochastic`) the sum is a lower
    bound in expectation over the draws, exact otherwise.

    ``x`` is float32, or float64 after :meth:`double`; the maps themselves are always float64.

    Args:
        schema: What the data is.
        encoding: How the model wants it.
        parts: Fitted maps that together read every stored column.
        context: How labels become context, if they do.
    """

    anchor: Tensor
    event: EventSpec

    def __init__(self, schema: Schema, encoding: Encoding, parts: list[Part], context: ContextCodec) -> None:
        super().__init__()
        self.schema, self.encoding, self._context = schema, encoding, context
        self.parts = nn.ModuleList(parts)
        self.register_buffer("anchor", torch.zeros(()), persistent=False)
        self.event = self._event()
        everything = tuple(range(self.dims))
        self._places = [slice(None) if p.columns == everything else list(p.columns) for p in parts]

    @classmethod
    def fit(cls, dataset: Dataset, encoding: Encoding, *, condition: bool = True) -> Codec:
        """Fit to the training rows only (evenly spaced ones where there are very many).

        Raises:
            DataError: nothing is left to model.
        """
        schema = dataset.schema
        if schema.kind == "images":
            parts = [plan_pixels(schema, encoding)]
        else:
            values = _training_values(dataset)
            parts = plan_columns(schema, values, encoding, dataset.settings.categorical)
        context = ContextCodec()
        if condition and dataset.labels is not None and schema.label is not None:
            context = ContextCodec.fit(schema.label.classes, dataset.labels[dataset.splits["train"]])
        return cls(schema, encoding, parts, context)

    def _event(self) -> EventSpec:
        columns = self.schema.kept
        names = [c.name if c.size == 1 else f"{c.name}[{i}]" for c in columns for i in range(c.size)]
        segments: list[Segment] = []
        for part in self._parts():
            own = [names[c] for c in part.columns] if names else []
            if part.reads == "missing":
                own = [f"{name} is missing" for name in own]
            segments += part.segments(own)
        if not segments:
            raise DataError(
                "Every column is constant: there is nothing to model.", hint="Check the data with: headwater inspect"
            )
        if self.schema.kind in ("arrays", "alignment"):
            segments = _merged(segments)
        size = sum(segment.size for segment in segments)
        shape = self.schema.shape if self.schema.kind == "images" else (size,)
        return EventSpec(shape=shape, segments=tuple(segments))

    def _parts(self) -> list[Part]:
        return [part for part in self.parts if isinstance(part, Part)]

    @property
    def context(self) -> ContextSpec:
        """What a conditional model is given."""
        return self._context.spec

    @property
    def stochastic(self) -> bool:
        """Whether encoding draws noise, so that likelihoods are bounds."""
        return any(part.draws for part in self._parts())

    @property
    def dims(self) -> int:
        """Raw elements of a row: what bits per dimension divide by."""
        return math.prod(self.schema.shape)

    def encode(
        self, raw: Shaped[Tensor, "batch *shape"], rng: Rng
    ) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, " batch"]]:
        """Events and their log-determinants, with ``rng.n`` keys for as many rows."""
        flat = raw.reshape(raw.shape[0], -1)
        flat = flat if self.schema.kind == "images" else flat.double()
        dtype = self.anchor.dtype
        xs, total = [], torch.zeros(raw.shape[0], dtype=torch.float64, device=raw.device)
        for i, part in enumerate(self._parts()):
            value = flat[:, self._places[i]]
            if part.reads == "missing":
                value = torch.isnan(value).double()
            x, ladj = part.encode(value, rng.fold(f"part {i}"), dtype)
            xs.append(x.to(dtype))
            total = total + ladj
        x = xs[0] if len(xs) == 1 else torch.cat(xs, dim=1)
        return x.reshape(-1, *self.event.shape), total.to(dtype)

    def decode(self, x: Float[Tensor, "batch *event"]) -> Shaped[Tensor, "batch *shape"]:
        """Raw rows of these events; missing values are NaN. Reals come back up to rounding, the rest exactly."""
        flat = x.reshape(x.shape[0], -1)
        dtype = _DTYPES[self.schema.dtype]
        parts = self._parts()
        widths = [part.width for part in parts]
        values = [part.decode(piece) for part, piece in zip(parts, torch.split(flat, widths, dim=1), strict=True)]
        if len(parts) == 1 and self._places[0] == slice(None):
            return _as(values[0], dtype).reshape(-1, *self.schema.shape)
        raw = torch.zeros(flat.shape[0], self.dims, dtype=torch.float64, device=x.device)
        for part, place, value in zip(parts, self._places, values, strict=True):
            if part.reads == "value":
                raw[:, place] = value
        for part, place, value in zip(parts, self._places, values, strict=True):
            if part.reads == "missing":
                raw[:, place] = torch.where(value > 0.5, torch.nan, raw[:, place])
        return _as(raw, dtype).reshape(-1, *self.schema.shape)

    def encode_context(self, labels: Shaped[Tensor, " n"] | None, n: int) -> Float[Tensor, "n context"] | None:
        """Context of ``n`` events with these labels: zeros without labels, None for an unconditional model."""
        return self._context.encode(labels, n, self.anchor.dtype, self.anchor.device)

    def to_user(self, raw: Shaped[Tensor, "batch *shape"], labels: Shaped[Tensor, " batch"] | None = None) -> Any:
        """The kind of value the data came as: a frame like the user's, an array, a tensor."""
        from headwater.data.exchange import to_user

        return to_user(self.schema, raw, labels)

    def from_user(self, value: Any, settings: DataSettings | None = None) -> tuple[Tensor, Tensor | None]:
        """Raw rows and labels of the user's frame, array, tensor, file or folder, checked against the schema.

        A file is read by the ``settings`` of the data trained on (delimiter, key, label), where given.

        Raises:
            DataError: it does not fit; row and column are named.
        """
        from headwater.data.exchange import from_user

        return from_user(self.schema, value, settings)

    def to_json(self) -> dict[str, Any]:
        """``codec.json``: inert, and exact to the last bit."""
        return {
            "version": 1,
            "encoding": str(self.encoding),
            "schema": self.schema.to_json(),
            "context": self._context.to_json(),
            "parts": [part.to_json() for part in self._parts()],
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Codec:
        """The codec that :meth:`to_json` wrote.

        Raises:
            CheckpointError: it is not one.
        """
        try:
            schema = Schema.from_json(values["schema"], where="codec.json: schema")
            parts = [part_from_json(part) for part in values["parts"]]
            codec = cls(schema, Encoding(values["encoding"]), parts, ContextCodec.from_json(values["context"]))
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"codec.json cannot be read: {error}.") from None
        read = {column for part in parts for column in part.columns if part.reads == "value"}
        if read != set(range(codec.dims)):
            raise CheckpointError(f"codec.json: parts read {len(read)} of {codec.dims} columns.")
        return codec

    def extra_repr(self) -> str:
        return f"{self.schema.kind} {self.schema.shape} -> {self.event}, {self.encoding}"


def _training_values(dataset: Dataset) -> np.ndarray:
    """Training rows as float64 ``(rows, elements)``: all, or evenly spaced ones."""
    rows = dataset.splits["train"]
    most = max(1024, min(_FIT_ROWS, _FIT_ELEMENTS // max(1, math.prod(dataset.schema.shape))))
    if len(rows) > most:
        rows = rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]
    return np.asarray(dataset.storage[rows], dtype=np.float64).reshape(len(rows), -1)


def _merged(segments: list[Segment]) -> list[Segment]:
    """Neighbours of one support as one segment: an array has no names to keep apart."""
    merged: list[Segment] = []
    for segment in segments:
        plain = segment.model_copy(update={"name": ""})
        alone = segment.support in (Support.SPHERE, Support.SIMPLEX)  # each is one point
        if merged and not alone and merged[-1].model_copy(update={"size": plain.size}) == plain:
            merged[-1] = merged[-1].model_copy(update={"size": merged[-1].size + plain.size})
        else:
            merged.append(plain)
    return merged


def _as(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if dtype.is_floating_point else value.round().to(dtype)
