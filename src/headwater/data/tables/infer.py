"""From the figures of a column to its description: type, range, categories; what is dropped is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headwater.data.limits import Limits
from headwater.data.schema import Column
from headwater.data.supports import circle_ends
from headwater.data.tables.survey import CAP, Survey
from headwater.errors import ConfigError, DataError, did_you_mean

__all__ = ["Findings", "describe_column"]

_FEW_TEXTS = 50
_IDENTIFIER = re.compile(r"(^|_|\b)(id|uuid|guid|key|index|rownum|row_?id)($|_|\b)|^unnamed", re.IGNORECASE)
_MICRO = 1_000_000


class Findings:
    """Notes and warnings collected on the way."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []


def describe_column(survey: Survey, override: Mapping[str, Any], limits: Limits, findings: Findings) -> Column:
    """The column as detected, with the user's ``override`` on top, field by field.

    Raises:
        ConfigError: the override has an unknown field or a value that does not fit.
        DataError: texts among numbers, or more categories than accepted.
    """
    unknown = set(override) - set(Column.model_fields)
    if unknown:
        name = min(unknown)
        raise ConfigError(
            f"data.columns.{survey.name}: {name!r} is not a field of a column.",
            hint=did_you_mean(name, Column.model_fields),
        )
    if survey.found_tokens - {""}:
        tokens = ", ".join(repr(token) for token in sorted(survey.found_tokens - {""}))
        findings.notes.append(f"Column {survey.name!r}: {tokens} is read as missing.")
    kind = str(override.get("type") or _detect(survey, limits, findings))
    fields = _fields(survey, kind, limits) | dict(override)
    if kind == "circle":
        fields |= circle_ends(survey.name, survey.low, survey.high, override)
    column = Column.parse(fields, where=f"data.columns.{survey.name}")
    if column.unknown == "other" and column.categories and "other" not in column.categories:
        column = column.model_copy(update={"categories": (*column.categories, "other")})
    return column


def _detect(survey: Survey, limits: Limits, findings: Findings) -> str:
    name, warn = survey.name, findings.warnings.append
    if survey.family == "":
        warn(f"Column {name!r} of type {survey.dtype} is not supported and left out.")
        return "drop"
    if survey.present == 0:
        warn(f"Column {name!r} has no values: left out of the model, restored as missing.")
        return "constant"
    if len(survey.values | survey.distinct) == 1 or (survey.low == survey.high and survey.not_number is None):
        warn(f"Column {name!r} is constant: left out of the model, restored exactly.")
        return "constant"
    if survey.family in ("moment", "span"):
        return "datetime" if survey.family == "moment" else "real"
    if survey.family == "number" or (survey.family == "text" and survey.not_number is None):
        return _detect_number(survey, findings)
    if survey.family == "text" and survey.dates:
        return "datetime"
    return _detect_text(survey, limits, findings)


def _detect_number(survey: Survey, findings: Findings) -> str:
    if survey.whole and survey.low >= 0 and survey.high <= 1:
        return "binary"
    if not survey.whole:
        return "real"
    distinct = len(survey.values)
    if _is_identifier(survey, distinct):
        findings.warnings.append(
            f"Column {survey.name!r} has a different number in each row, like an identifier: left out."
            f" Keep it with --set data.columns.{survey.name}.type=integer"
        )
        return "drop"
    return "integer"


def _is_identifier(survey: Survey, distinct: int) -> bool:
    if distinct < min(survey.present, CAP):
        return False
    dense = survey.high - survey.low + 1 <= 2 * survey.present
    named = _IDENTIFIER.search(survey.name) is not None
    return survey.present >= 1_000 or (survey.present >= 20 and (dense or named))


def _detect_text(survey: Survey, limits: Limits, findings: Findings) -> str:
    name, distinct = survey.name, len(survey.distinct)
    few = distinct <= _FEW_TEXTS or distinct * 10 <= survey.present
    share = survey.numbers / max(survey.present, 1)
    if share >= 0.9 and not few and survey.not_number is not None:
        row, text = survey.not_number
        raise DataError(
            f"{survey.where}: column {name!r}, line {row + survey.first_line}: {text!r} is no number;"
            f" {survey.numbers} of {survey.present} values are.",
            hint=f"If it means missing: --set data.columns.{name}.missing_tokens='[\"{text}\"]'; if a category:"
            f" --set data.columns.{name}.type=categorical",
        )
    if distinct == survey.present and survey.present >= 20:
        findings.warnings.append(f"Column {name!r} has a different text in each row, like an identifier: left out.")
        return "drop"
    if distinct <= limits.classes and few:
        return "binary" if distinct == 2 else "categorical"
    findings.warnings.append(
        f"Column {name!r} has {distinct}{'+' if distinct >= CAP else ''} different texts: left out."
        f" Keep it with --set data.columns.{name}.type=categorical"
    )
    return "drop"


def _fields(survey: Survey, kind: str, limits: Limits) -> dict[str, Any]:
    """What a column of type ``kind`` needs, from the figures."""
    fields: dict[str, Any] = {
        "name": survey.name,
        "type": kind,
        "missing": 0 < survey.missing < survey.rows,
        "source": survey.dtype,
        "distinct": max(len(survey.values), len(survey.distinct)),
        "missing_tokens": survey.tokens,
    }
    if kind in ("categorical", "ordinal") or (kind == "binary" and survey.not_number is not None):
        fields["categories"] = _categories(survey, limits)
    elif kind == "binary" and survey.family == "flag":
        fields["categories"] = ("false", "true")
    elif kind == "constant":
        fields |= _constant(survey)
    elif kind in ("integer", "interval", "datetime"):
        fields |= {"low": survey.low, "high": survey.high}
    if kind == "datetime":
        fields["step"] = survey.grid / _MICRO
    if kind in ("real", "positive", "interval", "circle") and survey.decimals < 7:
        fields["decimals"] = survey.decimals
    return fields


def _constant(survey: Survey) -> dict[str, Any]:
    if survey.distinct and survey.not_number is not None:
        return {"categories": tuple(survey.distinct)}
    return {"low": survey.low} if survey.values else {}


def _categories(survey: Survey, limits: Limits) -> tuple[str, ...]:
    texts = survey.distinct or {str(int(v)) if survey.whole else repr(v) for v in survey.values}
    if len(texts) > limits.classes:
        raise DataError(
            f"{survey.where}: column {survey.name!r} has {len(texts)} categories; at most {limits.classes} are.",
            hint=f"Leave it out: --set data.columns.{survey.name}.type=drop",
        )
    if survey.not_number is None:
        return tuple(sorted(texts, key=float))
    return tuple(sorted(texts))
