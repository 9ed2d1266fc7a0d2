"""Between code rows and what people hold: texts of residues, arrays of codes, alignment files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headwater.data.alignments.declared import read_as_declared
from headwater.data.alignments.info import ALPHABET, GAP, UNKNOWN, Alignment
from headwater.data.alignments.letters import ILLEGAL, from_codes, to_codes
from headwater.data.limits import LIMITS
from headwater.data.schema import Schema
from headwater.errors import DataError
from headwater.progress import SilentProgress

__all__ = ["codes_from_user", "codes_to_user"]


def codes_to_user(codes: np.ndarray) -> np.ndarray:
    """Texts ``(n,)`` of the modelled positions; gaps are ``-``."""
    return from_codes(codes.astype(np.uint8))


def codes_from_user(schema: Schema, value: Any) -> np.ndarray:
    """Codes ``(n, L)`` of an alignment file, of texts, or of codes.

    A text has a letter for each modelled position, or for each residue of the target. Unknown residues
    (B, J, O, U, X, Z) are missing ones.

    Raises:
        DataError: another length, or what is no residue; row and place are named.
    """
    about = schema.alignment
    assert about is not None
    if isinstance(value, Path):
        return read_as_declared(value, about, LIMITS, SilentProgress())
    if isinstance(value, list | tuple) and value and all(isinstance(item, str) for item in value):
        texts = list(value)
    else:
        array = np.asarray(value)
        if array.dtype.kind not in "UOT":
            return _checked(array, schema.shape[0])
        texts = array.reshape(-1).tolist()
    rows = np.empty((len(texts), schema.shape[0]), dtype=np.uint8)
    for i, text in enumerate(texts):
        rows[i] = _row(text, i, about)
    return rows


def _row(text: Any, row: int, about: Alignment) -> np.ndarray:
    if not isinstance(text, str):
        raise DataError(f"Sequence {row}: expected a text of residues, got {type(text).__name__}.")
    codes = to_codes(text.encode("latin-1", "replace"))
    if len(codes) == len(about.sequence) != len(about.positions):
        codes = codes[np.array(about.positions) - about.start]
    if len(codes) != len(about.positions):
        raise DataError(
            f"Sequence {row}: expected {len(about.positions)} letters (the modelled positions of {about.name}) or"
            f" {len(about.sequence)} (all its residues), got {len(codes)}.",
            hint="Write gaps as '-'; insertions cannot be scored.",
        )
    if (codes == ILLEGAL).any():
        place = int((codes == ILLEGAL).argmax())
        raise DataError(
            f"Sequence {row}: {text!r:.60} has no residue at position {about.positions[place]}.",
            hint=f"Residues are {ALPHABET}, a gap is '-'.",
        )
    return np.where(codes == UNKNOWN, np.uint8(GAP), codes)


def _checked(array: np.ndarray, length: int) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] != length:
        raise DataError(f"Expected codes of shape (n, {length}), got {array.shape}.", hint="Or give texts of residues.")
    if array.dtype.kind not in "iuf" or not np.array_equal(array, np.round(array)):
        raise DataError(f"Expected whole codes 0 .. {GAP}, got {array.dtype}.")
    if array.min(initial=0) < 0 or array.max(initial=0) > GAP:
        raise DataError(f"Expected codes 0 .. {GAP}, got {array.min():g} .. {array.max():g}.")
    return array.astype(np.uint8)
