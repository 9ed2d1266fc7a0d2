"""Scores of all single variants as a picture: a column per position, a row per residue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from headwater.applications.variants.clean import clean
from headwater.applications.variants.heat_grid import HEAD, HEIGHT, bands_of, width_of
from headwater.applications.variants.heat_pixels import draw
from headwater.applications.variants.heat_svg import parts, whole
from headwater.applications.variants.pictures import plain_style, png_bytes, write_picture
from headwater.errors import UsageError
from headwater.evaluation.canvas import new_figure
from headwater.evaluation.markup import Markup

__all__ = ["HeatMap"]

_ALPHABET = "ACDEFGHIKLMNPQRSTVWY"
_MEANING = "log p(variant) - log p(wild type), {unit}; below 0: less likely than the wild type"


@dataclass(frozen=True)
class HeatMap:
    """Scores of single variants, drawn as SVG by own code and as PNG by matplotlib.

    Args:
        wild_type: Residues of the target at the positions, L letters.
        positions: Their numbers in the target's own numbering, strictly increasing, length L.
        scores: (L, 20), residues in the order ACDEFGHIKLMNPQRSTVWY; NaN: not scored.
        title: Heading.
        unit: Of the scores.

    Raises:
        UsageError: the shapes do not fit, there is no position, or positions do not increase.
    """

    wild_type: str
    positions: tuple[int, ...]
    scores: Float[np.ndarray, "length 20"]
    title: str = "Scores of single variants"
    unit: str = "nats"

    def __post_init__(self) -> None:
        lengths = (len(self.wild_type), len(self.positions), len(self.scores))
        if len(set(lengths)) != 1 or not lengths[0]:
            raise UsageError(
                f"A heat map takes as many residues as positions and rows of scores; got {lengths}.",
                hint="Give the residues, numbers and scores of the same modelled positions, at least one.",
            )
        if any(b <= a for a, b in zip(self.positions, self.positions[1:], strict=False)):
            raise UsageError(
                "Positions of a heat map increase strictly; got positions out of order.",
                hint="Sort positions, residues and rows of scores alike.",
            )

    @property
    def limit(self) -> float:
        """The score, up or down, from which colours do not change any more: 95 in 100 are below, rounded up."""
        found = np.abs(self.scores[np.isfinite(self.scores) & ~self.own()])
        high = float(np.quantile(found, 0.95)) if len(found) else 0.0
        if not high > 0:
            return 1.0
        power = 10.0 ** math.floor(math.log10(high))
        return next(f for f in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0) if high <= f * power * (1 + 1e-9)) * power

    def means(self) -> Float[np.ndarray, " length"]:
        """Mean over the scored variants of each position; NaN where none is scored."""
        number = self.counts()
        total = np.where(np.isfinite(self.scores) & ~self.own(), self.scores, 0.0).sum(1)
        return np.where(number > 0, total / np.maximum(number, 1), np.nan)

    def counts(self) -> Int64[np.ndarray, " length"]:
        """Scored variants of each position."""
        return (np.isfinite(self.scores) & ~self.own()).sum(1)

    def svg(self) -> str:
        """A file that stands by itself."""
        return clean(whole(self))

    def parts(self) -> list[Markup]:
        """The legend and each row of columns as pictures of their own, for a page that may break between them."""
        return parts(self)

    def png(self) -> bytes:
        """The same picture as PNG.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        with plain_style():
            bands = bands_of(self.positions)
            size = (width_of(self.positions), HEAD + len(bands) * HEIGHT + 20)
            figure: Any = new_figure(size[0] / 72, size[1] / 72)
            figure.set_layout_engine("none")
            draw(self, figure, bands)
            return png_bytes(figure)

    def write(self, path: Path | str) -> Path:
        """Write the picture; the file's ending chooses ``.svg`` or ``.png``.

        Raises:
            UsageError: another ending.
            MissingExtraError: PNG without matplotlib.
            ResourceError: the file cannot be written.
        """
        return write_picture(path, "heat map", self.svg, self.png)

    def shown(self) -> Float[np.ndarray, "length 20"]:
        """Scores as parts of the limit, 0 for the wild type itself, NaN where nothing is shown."""
        return np.where(self.own(), 0.0, np.clip(self.scores / self.limit, -1.0, 1.0))

    def legend_ticks(self) -> list[float]:
        """Scores that the colour bar names."""
        return [-self.limit, -self.limit / 2, 0.0, self.limit / 2, self.limit]

    def meaning(self) -> str:
        """What a colour says."""
        return _MEANING.format(unit=self.unit)

    def own(self) -> Bool[np.ndarray, "length 20"]:
        """Where the residue is the wild type's."""
        return np.array([list(_ALPHABET)]) == np.array(list(self.wild_type))[:, None]
