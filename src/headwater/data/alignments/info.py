"""What an alignment says about the protein it was made for: its target, the positions modelled, its depth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from headwater.config import Config

__all__ = ["ALPHABET", "CATEGORIES", "GAP", "SHALLOW", "UNKNOWN", "Alignment"]

ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
"""The residues, in the order of their codes 0 .. 19."""

GAP = 20
"""Code of a gap."""

UNKNOWN = 21
"""Code of a residue that is one but not which: B, J, O, U, X, Z. Never stored."""

CATEGORIES = (*ALPHABET, "-")

SHALLOW = 2.0
"""Depth below which a model can hardly learn more than counts."""


class Alignment(Config):
    """The target of an alignment and what was kept of it.

    >>> Alignment(name="P", sequence="MKV", start=5, positions=(5, 7), sequences=9, neff=4.0).wild_type
    'MV'
    """

    name: str = Field(description="the target's name, without range")
    sequence: str = Field(min_length=1, description="its residues, without gaps, upper case")
    start: int = Field(1, description="number of its first residue")
    positions: tuple[int, ...] = Field(min_length=1, description="numbers of the modelled residues, increasing")
    sequences: int = Field(ge=1, description="sequences kept, the target's included")
    neff: float = Field(ge=0, description="effective number of sequences: the sum of their weights")
    theta: float = Field(0.2, description="sequences less than this share apart count as one")
    convention: Literal["eve", "evcouplings", "none"] = Field("eve", description="how sequences are weighted")
    dropped: dict[str, int] = Field({}, description="what was left out: how many, by reason")

    @model_validator(mode="after")
    def _positions_are_the_targets(self) -> Alignment:
        if any(a >= b for a, b in zip(self.positions, self.positions[1:], strict=False)):
            raise ValueError("positions must increase")
        if self.positions[0] < self.start or self.positions[-1] >= self.start + len(self.sequence):
            raise ValueError(f"positions must be among {self.start} .. {self.start + len(self.sequence) - 1}")
        return self

    @property
    def depth(self) -> float:
        """Effective sequences per position."""
        return self.neff / len(self.positions)

    @property
    def wild_type(self) -> str:
        """The target's residues at the modelled positions."""
        return "".join(self.sequence[position - self.start] for position in self.positions)
