"""Assays and clinical labels as files: a column of variants and one of measurements or labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headwater.applications.variants.labels_match import Labels, Matched
from headwater.applications.variants.lists import VARIANT_COLUMNS, rows_of, the_column
from headwater.errors import DataError

__all__ = ["Labels", "Matched", "read_assay", "read_labels"]

ASSAY_COLUMNS = ("score", "dms_score", "measured", "fitness", "value")
LABEL_COLUMNS = ("pathogenic", "label", "clinvar_label", "clnsig", "classification", "class")
PROTEIN_COLUMNS = ("protein", "protein_name", "uniprot", "uniprot_id", "gene")

_MISSING = ("", "na", "nan", "n/a", "null", "none")
_PATHOGENIC = {"1", "1.0", "true", "yes", "p", "lp", "pathogenic", "likely pathogenic", "pathogenic/likely pathogenic"}
_BENIGN = {"0", "0.0", "false", "no", "b", "lb", "benign", "likely benign", "benign/likely benign"}


def read_assay(path: Path | str, *, column: str | None = None, variants: str | None = None) -> Labels:
    """Read measurements: a CSV or TSV with a column of variants and one of numbers.

    Args:
        path: The file.
        column: Of measurements; by default the first of ``score``, ``DMS_score``, ``measured``, ``fitness``, ``value``.
        variants: Column of variants; by default ``mutant``, ``mutation``, ``variant`` or ``hgvs``.

    Raises:
        DataError: missing, ragged, no such column, not a number (its line is named), or no rows.
    """
    return _read(Path(path), ASSAY_COLUMNS, column, variants, clinical=False)


def read_labels(path: Path | str, *, column: str | None = None, variants: str | None = None) -> Labels:
    """Read clinical labels: 1 and 0, ``pathogenic`` and ``benign``, likely or not; anything else counts as neither.

    Args:
        path: A CSV or TSV; a column ``protein`` or ``protein_name`` may tell proteins apart.
        column: Of labels; by default ``pathogenic``, ``label``, ``CLNSIG`` or ``classification``.
        variants: Column of variants.

    Raises:
        DataError: as :func:`read_assay`, or not one label is pathogenic or benign.
    """
    return _read(Path(path), LABEL_COLUMNS, column, variants, clinical=True)


def _read(source: Path, known: Sequence[str], column: str | None, variants: str | None, *, clinical: bool) -> Labels:
    texts: list[str] = []
    values: list[float] = []
    proteins: list[str] = []
    names: tuple[str, str, str | None] | None = None
    for line, row in rows_of(source):
        if names is None:
            header = list(row)
            found = [name for name in PROTEIN_COLUMNS if name in (have.lower() for have in header)]
            names = (
                the_column(source, header, VARIANT_COLUMNS, named=variants),
                the_column(source, header, known, named=column),
                the_column(source, header, found) if found else None,
            )
        if not row[names[0]]:
            raise DataError(f"{source}, line {line}: expected a variant, got an empty cell.")
        texts.append(row[names[0]])
        values.append(_label(row[names[1]]) if clinical else _number(row[names[1]], source, line, names[1]))
        if names[2] is not None:
            proteins.append(row[names[2]])
    if not texts or all(map(math.isnan, values)):
        wanted = "label that is pathogenic (1) or benign (0)" if clinical else "measurement"
        raise DataError(f"{source}: expected at least one {wanted}, got {len(texts)} rows without.")
    return Labels(source.stem, tuple(proteins) if proteins else None, tuple(texts), np.array(values), clinical)


def _number(text: str, source: Path, line: int, column: str) -> float:
    if text.lower() in _MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise DataError(f"{source}, line {line}: expected a number in column {column!r}, got {text!r}.")
    return value


def _label(text: str) -> float:
    word = " ".join(text.lower().replace("_", " ").split())
    return 1.0 if word in _PATHOGENIC else 0.0 if word in _BENIGN else math.nan
