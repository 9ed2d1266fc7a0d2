"""The parts a codec is made of: each maps some stored columns to some elements of the event, invertibly."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from headwater.errors import CheckpointError
from headwater.events import Segment
from headwater.rng import Rng

__all__ = ["Encoded", "Part", "normal_log_density", "state_from_json", "state_to_json"]

State = Tensor | float | int | bool | str


class Encoded(NamedTuple):
    """Elements of the event and the log-determinant per row (auxiliary draws' ``-log q`` included)."""

    x: Float[Tensor, "batch width"]
    ladj: Float[Tensor, " batch"]


def normal_log_density(z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """``log N(z; 0, 1)``."""
    return -0.5 * (z * z + math.log(2 * math.pi))


class Part(nn.Module, ABC):
    """One invertible map ``v -> x`` of some stored columns.

    ``encode`` returns ``x`` and ``ladj`` such that ``log p(x) + ladj`` is the
    log-likelihood of ``v`` in its own units: ``log |dx/dv|`` where the map is a smooth
    bijection, ``-log q(x | v)`` where auxiliary noise spreads a discrete value over its
    cell. Everything is computed in float64: seconds since 1970 do not fit float32.

    Args:
        columns: Which stored columns it reads and writes.
        reads: Their values, or whether they are missing.
        state: Numbers and tensors that make up the fitted map.
    """

    kind: ClassVar[str]
    noisy: ClassVar[bool] = False

    def __init__(self, columns: Sequence[int], *, reads: Literal["value", "missing"] = "value", **state: State) -> None:
        super().__init__()
        if set(state) != self.needs():
            raise TypeError(f"a part {self.kind!r} is made of {sorted(self.needs())}, got {sorted(state)}")
        self.columns = tuple(columns)
        self.reads = reads
        self._state = tuple(state)
        for name, value in state.items():
            if isinstance(value, Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    @classmethod
    def needs(cls) -> set[str]:
        """Names of the state: what its classes annotate."""
        own = [
            vars(base).get("__annotations__", {}) for base in cls.__mro__ if issubclass(base, Part) and base is not Part
        ]
        return {name for names in own for name, kind in names.items() if "ClassVar" not in str(kind)}

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of elements of the event it makes."""

    @property
    def draws(self) -> bool:
        """Whether encoding draws noise."""
        return self.noisy

    @abstractmethod
    def segments(self, names: Sequence[str]) -> tuple[Segment, ...]:
        """Supports of its elements; ``names`` are those of its columns."""

    @abstractmethod
    def encode(self, value: Shaped[Tensor, "batch columns"], rng: Rng, dtype: torch.dtype) -> Encoded:
        """``x`` and ``ladj``, in float64; ``dtype`` is what ``x`` will be rounded to."""

    @abstractmethod
    def decode(self, x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch columns"]:
        """The values again."""

    def to_json(self) -> dict[str, Any]:
        """Inert data that makes the same part again, bit for bit."""
        state = {name: state_to_json(getattr(self, name)) for name in self._state}
        return {"part": self.kind, "columns": list(self.columns), "reads": self.reads, "state": state}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Part:
        """The part written by :meth:`to_json`.

        Raises:
            CheckpointError: it does not hold what this part needs.
        """
        try:
            state = {str(name): state_from_json(value) for name, value in values["state"].items()}
            return cls([int(c) for c in values["columns"]], reads=values["reads"], **state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"codec.json: a part {cls.kind!r} cannot be read: {error!r}.") from None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Part:
        """Follow the owner's device but stay float64: a knot rounded to float32 is another knot."""
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = buffer.to(fn(buffer).device)
        return self


def state_to_json(value: State) -> Any:
    """A tensor as nested lists with its dtype; numbers that JSON lacks as text."""
    if not isinstance(value, Tensor):
        return value
    flat = [v if math.isfinite(v) else str(v) for v in value.flatten().tolist()]
    return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch."), "values": flat}


def state_from_json(value: Any) -> State:
    """What :func:`state_to_json` wrote."""
    if not isinstance(value, Mapping):
        return value
    if value["dtype"] == "int64":
        return torch.tensor([int(v) for v in value["values"]], dtype=torch.int64).reshape(value["shape"])
    if value["dtype"] != "float64":
        raise ValueError(f"dtype {value['dtype']!r}")
    return torch.tensor([float(v) for v in value["values"]], dtype=torch.float64).reshape(value["shape"])
