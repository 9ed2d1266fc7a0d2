"""Codes of a latent-variable model on the plane: natural sequences by their identity to the target, and samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from headwater.applications.variants.clean import clean
from headwater.applications.variants.colours import sequential
from headwater.applications.variants.latent_svg import inside, short, whole
from headwater.applications.variants.notice import NOTICE
from headwater.applications.variants.pictures import plain_style, png_bytes, write_picture
from headwater.errors import UsageError
from headwater.evaluation.canvas import INK, new_figure
from headwater.evaluation.markup import Markup

__all__ = ["LatentMap", "latent_map"]


@dataclass(frozen=True)
class LatentMap:
    """Points on the plane of the first two principal components; made by :func:`latent_map`.

    Attributes:
        natural: (n, 2).
        identity: Of each natural sequence to the target, 0 to 1.
        target: Where the target lies.
        sampled: (m, 2), none where nothing was sampled.
        shares: Of the codes' variance, along the two axes.
        name: Of the target.
        note: How many points there were before thinning.
    """

    natural: Float[np.ndarray, "n 2"]
    identity: Float[np.ndarray, " n"]
    target: Float[np.ndarray, "2"]
    sampled: Float[np.ndarray, "m 2"]
    shares: tuple[float, float]
    name: str
    note: str
    title: str = "Latent codes"

    def inside(self) -> Markup:
        """The picture for a page that brings its own styles."""
        return inside(self)

    def svg(self) -> str:
        """A file that stands by itself."""
        return clean(whole(self))

    def png(self) -> bytes:
        """The same picture as PNG.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        with plain_style():
            figure: Any = new_figure(7.4, 5.6)
            axes = figure.add_subplot()
            order, low, high = np.argsort(self.identity, kind="stable"), *self.reach()
            colours = sequential((self.identity[order] - low) / (high - low)) / 255.0
            axes.scatter(*self.natural[order].T, s=9, c=colours, linewidths=0, alpha=0.8)
            axes.scatter(*self.sampled.T, s=18, c=INK, marker="x", linewidths=0.9, label="sampled")
            axes.scatter(*self.target, s=90, facecolors="none", edgecolors="white", linewidths=3.5)
            axes.scatter(
                *self.target,
                s=90,
                facecolors="none",
                edgecolors=INK,
                linewidths=1.6,
                label=f"target: {clean(short(self.name))}",
            )
            axes.set_xlabel(self.axis(0))
            axes.set_ylabel(self.axis(1))
            axes.set_title(f"{clean(self.title)}\n", fontsize=11)
            axes.text(0, 1.02, self.note, transform=axes.transAxes, fontsize=8, color="#5a646c")
            axes.legend(loc="best")
            self._colour_bar(figure, axes, low, high)
            figure.text(0.01, 0.005, NOTICE, fontsize=7.5, color="#5a646c")
            figure.get_layout_engine().set(rect=(0, 0.03, 1, 0.97))
            return png_bytes(figure)

    def write(self, path: Path | str) -> Path:
        """Write the picture; the file's ending chooses ``.svg`` or ``.png``.

        Raises:
            UsageError: another ending.
            MissingExtraError: PNG without matplotlib.
            ResourceError: the file cannot be written.
        """
        return write_picture(path, "latent map", self.svg, self.png)

    def axis(self, i: int) -> str:
        """What an axis shows."""
        return f"component {i + 1} ({self.shares[i]:.0%} of the variance)"

    def reach(self) -> tuple[float, float]:
        """Range of the colours: the identities there are, to whole twentieths."""
        low = np.floor(20 * self.identity.min() + 1e-9) / 20
        return float(low), float(max(low + 0.05, np.ceil(20 * self.identity.max() - 1e-9) / 20))

    def _colour_bar(self, figure: Any, axes: Any, low: float, high: float) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, Normalize

        ramp = ListedColormap(sequential(np.linspace(0, 1, 256)) / 255.0)
        bar = figure.colorbar(ScalarMappable(Normalize(low, high), ramp), ax=axes, fraction=0.045, pad=0.02)
        bar.set_label("identity to the target")
        bar.outline.set_visible(False)


def latent_map(
    codes: Float[np.ndarray, "n latent"],
    identity: Float[np.ndarray, " n"],
    target: Float[np.ndarray, " latent"],
    samples: Float[np.ndarray, "m latent"] | None = None,
    *,
    name: str = "target",
    title: str = "Latent codes",
    most: int = 3_000,
) -> LatentMap:
    """Put codes on the plane of the natural sequences' first two principal components.

    Args:
        codes: Of natural sequences, (N, latent).
        identity: Of each to the target, 0 to 1.
        target: The target's code.
        samples: Codes of sampled sequences.
        name: Of the target.
        title: Heading.
        most: Points of either kind that are drawn; of more, so many are drawn evenly by chance, and the note says so.

    Raises:
        UsageError: no codes, or one that is not finite.
    """
    sampled = codes[:0] if samples is None else samples
    if not codes.size:
        raise UsageError(
            f"A latent map needs the code of at least one natural sequence; got {codes.shape}.",
            hint="Encode the alignment's rows.",
        )
    if not all(np.isfinite(part).all() for part in (codes, identity, target, sampled)):
        raise UsageError(
            "Codes and identities of a latent map are finite; got one that is not.",
            hint="The model may have diverged: look at its held-out likelihood.",
        )
    mean = codes.mean(0)
    values, vectors = np.linalg.eigh((codes - mean).T @ (codes - mean) / len(codes))
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    total = float(values.sum())
    shares = [float(max(v, 0.0)) / total if total > 0 else 0.0 for v in values[::-1][:2]]
    note = ", ".join(
        [
            _drawn(len(codes), most, "natural sequences"),
            *([_drawn(len(sampled), most, "samples")] if len(sampled) else []),
        ]
    )
    kept, kept_samples = _thinned(len(codes), most), _thinned(len(sampled), most)
    first, second = [*shares, 0.0][:2]
    return LatentMap(
        _plane(codes[kept] - mean, axes),
        identity[kept].astype(np.float64),
        _plane((target - mean)[None], axes)[0],
        _plane(sampled[kept_samples] - mean, axes),
        (first, second),
        name,
        note,
        title,
    )


def _plane(codes: Float[np.ndarray, "n latent"], axes: Float[np.ndarray, "latent k"]) -> Float[np.ndarray, "n 2"]:
    found = (codes @ axes).astype(np.float64)
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))


def _thinned(n: int, most: int) -> Any:
    return slice(None) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def _drawn(n: int, most: int, what: str) -> str:
    return f"{n:,} {what}" if n <= most else f"{most:,} of {n:,} {what} (drawn by chance, to keep the picture light)"
