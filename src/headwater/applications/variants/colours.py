"""Two colour ramps that people with any colour vision can read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["diverging", "hexes", "sequential"]

# Brown-red to orange below zero, near white at zero, blue above: told apart without red against green.
_DIVERGING = ("#5f1408", "#b8431a", "#f0a671", "#f6f3ee", "#93c6de", "#2a7bab", "#0b3557")
# Gold over green-blue to violet: middle lightness throughout, so that all of it shows on light and on dark paper.
_SEQUENTIAL = ("#dba319", "#8fae4a", "#2b9c93", "#3f7cc0", "#7150c8")


def _ramp(anchors: Sequence[str], at: Float[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    table = np.array([[int(anchor[i : i + 2], 16) for i in (1, 3, 5)] for anchor in anchors], dtype=np.float64)
    places = np.linspace(0.0, 1.0, len(anchors))
    return np.stack([np.interp(at, places, table[:, i]) for i in range(3)], axis=1).round().astype(np.uint8)


def diverging(values: Float[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    """Colours of numbers from -1 (dark red-brown) over 0 (near white) to 1 (dark blue); beyond: the end's colour."""
    return _ramp(_DIVERGING, (values + 1) / 2)


def sequential(values: Float[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    """Colours of numbers from 0 (gold) to 1 (violet); beyond: the end's colour."""
    return _ramp(_SEQUENTIAL, values)


def hexes(colours: UInt8[np.ndarray, "n 3"]) -> list[str]:
    """Colours as they are written in a file.

    >>> hexes(np.array([[255, 0, 16]], dtype=np.uint8))
    ['#ff0010']
    """
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colours.tolist()]
