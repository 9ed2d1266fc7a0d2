"""What a reader accepts at most: one model of limits for the library, the command line and the studio."""

from __future__ import annotations

from pydantic import Field

from headwater.config import Config
from headwater.errors import DataError, UnsafeFileError

__all__ = ["LIMITS", "Limits"]


class Limits(Config):
    """Upper bounds checked *before* memory is taken."""

    pixels: int = Field(50_000_000, ge=1, description="pixels of one picture, from its header")
    rows: int = Field(200_000_000, ge=1, description="rows of a data set")
    columns: int = Field(5_000, ge=1, description="columns of a table")
    elements: int = Field(16_777_216, ge=1, description="elements of one row of an array")
    members: int = Field(1_000_000, ge=1, description="members of an archive, files of a folder")
    ratio: float = Field(200.0, ge=1, description="unpacked over packed bytes, beyond the first 64 MB of a member")
    bytes: int = Field(1 << 40, ge=1, description="unpacked bytes of a data set")
    field: int = Field(1 << 20, ge=1, description="characters of one CSV field")
    classes: int = Field(1_000, ge=2, description="classes of a label, categories of a column")

    def check(self, name: str, got: int, what: str) -> None:
        """Raise a DataError unless ``got`` is within the limit called ``name``."""
        limit = getattr(self, name)
        if got > limit:
            error = UnsafeFileError if name in ("pixels", "members", "bytes") else DataError
            raise error(
                f"{what} has {got} {name}; at most {limit} are accepted.",
                hint=f"Reduce the data, or pass Limits({name}={got}) from Python if you trust it.",
            )


LIMITS = Limits()
