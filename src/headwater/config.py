"""Configuration is inert data: frozen, documented, unknown keys rejected, TOML on disk."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from headwater.errors import ConfigError, did_you_mean

__all__ = ["Config", "apply_assignments", "parse_assignment", "read_toml", "to_toml"]

_MAX_CONFIG_BYTES = 1_000_000
_MAX_DEPTH = 32
_ConfigT = TypeVar("_ConfigT", bound="Config")  # not Self: run-time type checkers refuse it on plain methods


class Config(BaseModel):
    """Base of every configuration: keyword-only, frozen, unknown keys rejected.

    Subclasses document each field with ``Field(default, description=...)``; the
    constraints there (``ge``, ``le``, ``Literal``) are the only validation.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _none_in_words(cls, value: Any, info: Any) -> Any:
        """TOML and the command line have no null: they say ``none``, where a setting accepts None and no text."""
        if value != "none" or info.field_name is None:
            return value
        accepted = get_args(cls.model_fields[info.field_name].annotation)
        return None if type(None) in accepted and str not in accepted else value

    @classmethod
    def parse(cls: type[_ConfigT], values: Mapping[str, Any], *, where: str = "config") -> _ConfigT:
        """Validate ``values``; every problem in one ConfigError, each with the key's full path.

        Raises:
            ConfigError: an unknown key (with the nearest known one) or a value outside its constraint.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise _config_error(cls, error, where) from None


def _config_error(cls: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
    lines: list[str] = []
    hints: list[str] = []
    for item in error.errors(include_url=False, include_context=False):
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: {path!r} is not a setting of {cls.__name__}.")
            hints.append(did_you_mean(path, _paths(cls)))
        else:
            lines.append(f"{where}: {path or 'value'} is {item['input']!r}: {item['msg']}.")
    return ConfigError("\n".join(lines), hint=" ".join(hint for hint in hints if hint))


def _paths(cls: type[BaseModel], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, field in cls.model_fields.items():
        found.append(prefix + name)
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += _paths(inner, f"{prefix}{name}.")
    return found


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``a.b=c`` into its dotted path and its TOML value; a bare word is a string.

    >>> parse_assignment("optimizer.lr=3e-4")
    ('optimizer.lr', 0.0003)
    >>> parse_assignment("name=moons")
    ('name', 'moons')

    Raises:
        ConfigError: no ``=``, or an empty path.
    """
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path or any(not part for part in path.split(".")):
        raise ConfigError(f"Expected key=value, got {text!r}.", hint="Example: --set training.lr=3e-4")
    try:
        return path, tomllib.loads(f"v = {value.strip()}")["v"]
    except tomllib.TOMLDecodeError:
        return path, value.strip()


def apply_assignments(values: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """A copy of the nested ``values`` with every ``a.b=c`` applied in order.

    >>> apply_assignments({"a": {"b": 1}}, ["a.c=2"])
    {'a': {'b': 1, 'c': 2}}
    """
    result: dict[str, Any] = {k: dict(v) if isinstance(v, Mapping) else v for k, v in values.items()}
    for text in assignments:
        path, value = parse_assignment(text)
        *parents, leaf = path.split(".")
        node = result
        for part in parents:
            child = node.get(part)
            node[part] = dict(child) if isinstance(child, Mapping) else {}
            node = node[part]
        node[leaf] = value
    return result


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file as plain data, bounded in size and depth.

    Raises:
        ConfigError: missing, too large, too deep, or not TOML.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_CONFIG_BYTES:
            raise ConfigError(f"{path}: a configuration holds at most {_MAX_CONFIG_BYTES} bytes, this one has {size}.")
        return tomllib.loads(_bounded(path.read_text(encoding="utf-8"), path))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}.") from None


def _bounded(text: str, path: Path) -> str:
    depth = deepest = 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH:
        raise ConfigError(f"{path}: nested {deepest} deep; at most {_MAX_DEPTH} is accepted.")
    return text


def to_toml(values: Mapping[str, Any], _prefix: str = "") -> str:
    """Write nested plain data as TOML: scalars and lists first, then one table per mapping.

    ``None`` is left out (TOML has no null); reading back gives the default.

    >>> print(to_toml({"a": 1, "b": {"c": "x", "d": [1.5, True]}}), end="")
    a = 1
    <BLANKLINE>
    [b]
    c = "x"
    d = [1.5, true]
    """
    scalars = [f"{_key(k)} = {_value(v)}" for k, v in values.items() if v is not None and not isinstance(v, Mapping)]
    text = "".join(line + "\n" for line in scalars)
    for name, child in values.items():
        if isinstance(child, Mapping):
            path = _prefix + _key(name)
            text += ("\n" if text else "") + f"[{path}]\n" + to_toml(child, f"{path}.")
    return text


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _quoted(name)


def _quoted(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"' + "".join(escapes.get(c, c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}") for c in text) + '"'


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _quoted(str(value))
        case Mapping():
            return "{" + ", ".join(f"{_key(str(k))} = {_value(v)}" for k, v in value.items() if v is not None) + "}"
        case list() | tuple():
            return "[" + ", ".join(_value(v) for v in value) + "]"
        case _:
            raise TypeError(f"no TOML form for {type(value).__name__}")
