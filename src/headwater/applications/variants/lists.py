"""Lists of variants in files: a column of a table, or one variant a line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from headwater.applications.variants.spelling import spelled
from headwater.errors import DataError, did_you_mean

__all__ = ["VARIANT_COLUMNS", "Row", "rows_of", "the_column", "variants_of_file"]

VARIANT_COLUMNS = ("mutant", "mutation", "mutations", "mutant_name", "variant", "variants", "hgvs", "hgvs_pro")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}

Row = tuple[int, dict[str, str]]


def variants_of_file(path: Path | str) -> list[str]:
    """Variants as typed: a CSV or TSV column of :data:`VARIANT_COLUMNS`, or a plain list, one per line.

    Empty lines of a list, and first lines that begin with ``#``, are passed over.

    Raises:
        DataError: missing, not text, no such column, an empty cell or a ragged line (its number is named), or empty.
    """
    source = Path(path)
    if source.suffix.lower() not in _DELIMITERS or _is_list(source):
        with_numbers = [text.strip() for _, text in _lines(source)]
        found = [text for text in with_numbers if text and not text.startswith("#")]
    else:
        found = []
        for number, row in rows_of(source):
            text = row[the_column(source, list(row), VARIANT_COLUMNS)]
            if not text:
                raise DataError(f"{source}, line {number}: expected a variant, got an empty cell.")
            found.append(text)
    if not found:
        raise DataError(f"{source} holds no variants.", hint="One per line, or a CSV with a column `mutant`.")
    return found


def rows_of(source: Path) -> Iterator[Row]:
    """Rows of a CSV or TSV file by column name, with the number of the line on which each ends.

    Raises:
        DataError: missing, not UTF-8, no header, a column name twice, or a row of another length (its line is named).
    """
    numbers: list[int] = []

    def fed() -> Iterator[str]:
        begun = False
        for number, line in _lines(source):
            if begun or (line.strip() and not line.startswith("#")):
                begun = True
                numbers.append(number)
                yield line

    reader = csv.reader(fed(), delimiter=_DELIMITERS.get(source.suffix.lower(), ","), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            if not header:
                header = [cell.strip() for cell in cells]
                continue
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(f"{source}, line {numbers[-1]}: expected {len(header)} cells, got {len(cells)}.")
            yield numbers[-1], dict(zip(header, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise DataError(f"{source}, line {numbers[-1]}: {error}.") from None
    if not header:
        raise DataError(f"{source} is empty.", hint="Expected a table with a header.")


def the_column(source: Path, header: Sequence[str], known: Sequence[str], *, named: str | None = None) -> str:
    """The column that is named, or else the first of ``known`` that is there, whatever its case.

    Raises:
        DataError: none is.
    """
    lower = {name.lower(): name for name in reversed(header)}
    for name in [named] if named is not None else known:
        if name in header:
            return name
        if name.lower() in lower:
            return lower[name.lower()]
    wanted = f"a column {named!r}" if named is not None else f"one of the columns {', '.join(known)}"
    hint = did_you_mean(named, header) if named is not None else f"The columns are: {', '.join(header)}."
    raise DataError(
        f"{source}: expected {wanted}.", hint=("" if named is not None else _nearest(header, known)) or hint
    )


def _nearest(header: Sequence[str], known: Sequence[str]) -> str:
    for name in header:
        offer = did_you_mean(name.lower(), known)
        if offer.startswith("Did you mean"):
            return f"The file has a column {name!r}. {offer}"
    return ""


def _is_list(source: Path) -> bool:
    """Whether a file that is called a table begins with a variant rather than a header."""
    for _, line in _lines(source):
        if line.strip() and not line.startswith("#"):
            return not spelled(line).reason
    return False


def _lines(source: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise DataError(f"{source}, line {number}: expected text, got a zero byte.")
                yield number, line
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DataError(f"{source}, line {number + 1} or after: expected text in UTF-8.") from None
