"""Merging a user's settings over what a model is good with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from headwater.errors import ConfigError, did_you_mean
from headwater.models.base import GenerativeModel
from headwater.settings import RunSettings

__all__ = ["merge_settings"]

_BUDGETS = ("steps", "epochs", "minutes")


def merge_settings(user: Mapping[str, Any], model_cls: type[GenerativeModel], *, pictures: bool = False) -> RunSettings:
    """The settings of a run: the user's keys over the model's ``defaults`` over the general ones.

    Where the user gives any budget, the budgets of the model's defaults are left out.

    Args:
        user: Nested values, as TOML gives them.
        model_cls: Whose ``defaults`` and ``Config`` apply.
        pictures: Whether events are pictures, so that its ``picture_defaults`` apply too.

    Raises:
        ConfigError: an unknown key, with the nearest dotted path, or a value outside its constraint.
    """
    known = [*_leaves(RunSettings), *(f"model.{path}" for path in _leaves(model_cls.Config)), "model.name"]
    _refuse_unknown(user, known)
    defaults = _over(model_cls.picture_defaults if pictures else {}, model_cls.defaults)
    if any(dict(user.get("training", {})).get(name) is not None for name in _BUDGETS):
        defaults["training"] = {k: v for k, v in defaults.get("training", {}).items() if k not in _BUDGETS}
    settings = RunSettings.parse(_over(user, defaults), where="settings")
    section = {key: value for key, value in settings.model.items() if key != "name"}
    model_cls.Config.parse(section, where="model")
    return settings


def _over(top: Mapping[str, Any], below: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in top.items():
        under = merged.get(key)
        merged[key] = _over(value, under) if isinstance(value, Mapping) and isinstance(under, Mapping) else value
    return merged


def _leaves(cls: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted paths of all settings; sections whose keys are free (``model``, ``data.columns``) are leaves."""
    for name, field in cls.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _refuse_unknown(user: Mapping[str, Any], known: list[str]) -> None:
    sections = {path.rpartition(".")[0] for path in known} - {""}
    unknown = list(_strangers(user, "", set(known), sections))
    if unknown:
        hints = [did_you_mean(path, known) or _by_last_part(path, known) for path in unknown]
        raise ConfigError(
            "\n".join(f"There is no setting {path!r}." for path in unknown),
            hint=" ".join(dict.fromkeys(hint for hint in hints if hint)),
        )


def _strangers(values: Mapping[str, Any], prefix: str, known: set[str], sections: set[str]) -> Iterator[str]:
    for key, value in values.items():
        path = prefix + key
        if path in sections or (isinstance(value, Mapping) and path not in known):
            yield from _strangers(value, f"{path}.", known, sections) if isinstance(value, Mapping) else ()
        elif path not in known:
            yield path


def _by_last_part(path: str, known: list[str]) -> str:
    last = path.rpartition(".")[2]
    same = [repr(name) for name in known if name.rpartition(".")[2] == last]
    return f"Did you mean {' or '.join(same)}?" if same else ""
