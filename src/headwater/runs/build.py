"""A model from its settings: looked up by name, checked, sized before a byte is allocated, then built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from annotated_types import Le, Lt
from pydantic import BaseModel
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from headwater.errors import ConfigError, ResourceError
from headwater.events import ContextSpec, EventSpec
from headwater.models.base import GenerativeModel, ModelConfig
from headwater.models.registry import load_class
from headwater.runs.files import human_bytes
from headwater.runs.memory import available_bytes

__all__ = ["build_model", "model_bytes"]

_MAX_TENSORS = 10_000
_MAX_UNBOUNDED = 100_000
_SLACK = 4  # the estimate counts what a constructor makes and drops, too
_HINT = "Make the model smaller (width, layers, ...), or use a machine with more memory."
_OUT_OF_MEMORY = ("can't allocate", "out of memory", "not enough memory", "overflow", "invalid for input of size")


def build_model(
    section: Mapping[str, Any],
    event: EventSpec,
    context: ContextSpec,
    *,
    copies: int = 1,
    limit_bytes: int | None = None,
) -> GenerativeModel:
    """The model that the section ``model`` of the settings describes, with fresh weights, on the CPU.

    Args:
        section: ``name``, looked up in the registry and nowhere else, and that model's own settings.
        event: What it models.
        context: What it is given.
        copies: How many times its size must fit: 1 to use it, about 5 to train it (gradients, Adam, EMA).
        limit_bytes: Memory it may take in all; None: what is available.

    Raises:
        UsageError: no model of that name, or it cannot model such events.
        ConfigError: a setting that it does not have or that is out of range.
        ResourceError: it would not fit into memory; found out without allocating it.
    """
    settings = dict(section)
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise ConfigError(
            f"The section 'model' needs a name, got {name!r}.", hint="For example: --model nsf (see `headwater models`)"
        )
    cls = load_class(name)
    config = cls.Config.parse(settings, where="model")
    _refuse_absurd(config, "model")
    limit = (available_bytes() if limit_bytes is None else limit_bytes) // copies
    size = _estimate(cls, config, event, context, limit)
    if size is not None and size > limit:
        raise ResourceError(
            f"{name} with these settings takes {human_bytes(size)}, {human_bytes(limit)} are available"
            + (f" for each of {copies} copies that training needs." if copies > 1 else "."),
            hint=_HINT,
        )
    with _bounded(name, limit * copies):
        model = cls(config, event, context)
    assert not any(t.is_meta for t in model.state_dict().values()), f"{name} kept tensors of the size estimate"
    return model


def _refuse_absurd(config: BaseModel, where: str) -> None:
    """Refuse huge whole numbers that declare no bound: a plain Python loop over them could not be stopped."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            _refuse_absurd(value, f"{where}.{name}")
            continue
        if name.endswith("seed") or any(isinstance(rule, Le | Lt) for rule in field.metadata):
            continue
        whole = [item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, int)]
        if any(item > _MAX_UNBOUNDED for item in whole):
            raise ConfigError(f"{where}: {name!r} is {max(whole)}, at most {_MAX_UNBOUNDED} is accepted.", hint=_HINT)


def model_bytes(model: torch.nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    tensors = (*model.parameters(), *model.buffers())
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _estimate(
    cls: type[GenerativeModel], config: ModelConfig, event: EventSpec, context: ContextSpec, limit: int
) -> int | None:
    """Bytes of the model, built without memory on the meta device; None if its constructor needs real numbers."""
    try:
        # The generator is left as it was, so that an estimate does not change the weights that follow.
        with torch.random.fork_rng(devices=[]), _bounded(cls.__name__, _SLACK * limit), torch.device("meta"):
            return model_bytes(cls(config, event, context))
    except (NotImplementedError, RuntimeError, TypeError):
        return None


@contextmanager
def _bounded(name: str, limit: int) -> Iterator[None]:
    try:
        with _Ledger(name, limit):
            yield
    except (MemoryError, RecursionError, OverflowError) as error:
        raise ResourceError(f"{name} with these settings is too large to build.", hint=_HINT) from error
    except RuntimeError as error:
        if any(sign in str(error).lower() for sign in _OUT_OF_MEMORY):
            raise ResourceError(f"{name} with these settings is too large to build: {error}.", hint=_HINT) from error
        raise


class _Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what is allocated while a model is built and stops it before memory, or patience, runs out."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name, self.limit = name, limit
        self.tensors = self.allocated = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, Tensor) and not any(isinstance(given, Tensor) for given in args):
            self.tensors += 1
            self.allocated += made.numel() * made.element_size()
        if self.allocated > self.limit or self.tensors > _MAX_TENSORS:
            size = f"more than {human_bytes(self.limit)}" if self.allocated > self.limit else "too many parts"
            raise ResourceError(f"{self.name} with these settings has {size}; it is not built.", hint=_HINT)
        return made
