"""``check_model``: run the laws on a model and report every one it breaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from headwater.errors import UnsupportedEventError, UsageError, did_you_mean
from headwater.models.base import GenerativeModel
from headwater.models.registry import load_class
from headwater.rng import Rng
from headwater.testing.cases import Case, cases
from headwater.testing.laws import LAWS

__all__ = ["check_compiles", "check_model", "supported_cases"]


def check_model(
    model: str | type[GenerativeModel], *, settings: Mapping[str, Any] | None = None, laws: Iterable[str] | None = None
) -> None:
    """Check a registered name or a class against the laws of the contract.

    Args:
        model: A registered name or a class.
        settings: Small settings of the model, so that the check takes seconds.
        laws: Names of the laws to check; all by default (see ``LAWS``).

    Raises:
        AssertionError: names every broken law with the case that broke it.
        UsageError: a law or a model of that name does not exist, or no case suits the model.
    """
    cls = load_class(model) if isinstance(model, str) else model
    chosen = list(LAWS) if laws is None else list(laws)
    for name in chosen:
        if name not in LAWS:
            raise UsageError(f"No law is called {name!r}.", hint=did_you_mean(name, LAWS))
    broken = [problem for case in supported_cases(cls, settings or {}) for problem in _broken(case, chosen)]
    assert not broken, f"{cls.__name__} breaks {len(broken)} laws:\n" + "\n".join(broken)


def _broken(case: Case, laws: Iterable[str]) -> list[str]:
    problems = []
    for name in laws:
        try:
            LAWS[name](case)
        except (AssertionError, RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
            problems.append(f"- {name}, {case}: {error}")
    return problems


def supported_cases(cls: type[GenerativeModel], settings: Mapping[str, Any]) -> tuple[Case, ...]:
    """The cases a model accepts; one it refuses with ``UnsupportedEventError`` is not its kind of data."""
    accepted = []
    for case in cases(cls, settings):
        try:
            case.cls(case.cls.Config.parse(case.settings, where="model"), case.event, case.context)
        except UnsupportedEventError:
            continue
        accepted.append(case)
    if not accepted:
        raise UsageError(f"{cls.__name__} accepts none of the events that the laws are checked on.")
    return tuple(accepted)


def check_compiles(model: str | type[GenerativeModel], *, settings: Mapping[str, Any] | None = None) -> None:
    """``torch.compile(model.loss, fullgraph=True)`` has no break and agrees with eager to round-off.

    Needs a C++ compiler, and the package imported without run-time shape checks.
    """
    cls = load_class(model) if isinstance(model, str) else model
    for case in supported_cases(cls, settings or {}):
        net = case.build(dtype=torch.float32)
        batch, rng = case.batch(8, dtype=torch.float32), Rng.of(2, 8)
        for player in net.players():
            torch.compiler.reset()
            compiled = torch.compile(net.loss, fullgraph=True)
            fast, plain = compiled(batch, player.name, rng).total, net.loss(batch, player.name, rng).total
            assert torch.allclose(fast, plain, rtol=1e-3, atol=1e-4), f"{case}: compiled {fast}, eager {plain}"
