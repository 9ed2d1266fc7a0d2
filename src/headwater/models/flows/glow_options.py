"""Settings of the flow of pictures, and what they come to for an event."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from headwater.bijections.affine import Affine
from headwater.bijections.mixture_cdf import MixtureCDF
from headwater.bijections.rational_quadratic import RationalQuadratic
from headwater.bijections.univariate import Univariate
from headwater.distributions.dequantization import Dequantizer, UniformDequantizer, VariationalDequantizer
from headwater.errors import UnsupportedEventError, UsageError
from headwater.events import EventSpec, Support
from headwater.models.base import Options
from headwater.models.flows.given import ContextConfig
from headwater.models.flows.multiscale import Masks, Shape, halvings

__all__ = ["GlowConfig", "GlowScoring", "pixel_values"]

_MOST_LEVELS = 3


class GlowConfig(ContextConfig):
    """Architecture of a multi-scale flow of pictures."""

    levels: int | None = Field(
        None, ge=0, le=8, description="how often the sides are halved; None: as often as they are even, at most 3 times"
    )
    steps: int = Field(4, ge=1, le=64, description="couplings of a kind at a level")
    coupling: Literal["affine", "spline", "mixture"] = Field("mixture", description="how an element moves")
    masks: Masks = Field(
        "channel", description="channel: Glow; checkerboard: Real NVP, couplings before each halving too"
    )
    width: int = Field(64, ge=4, le=1024, description="channels of the networks")
    blocks: int = Field(1, ge=0, le=16, description="residual blocks of a network")
    bins: int = Field(8, ge=2, le=64, description="spline: bins on [-4, 4]")
    components: int = Field(4, ge=1, le=64, description="mixture: logistics")
    dequantization: Literal["uniform", "variational"] = Field(
        "uniform", description="noise of pictures of whole numbers: uniform, or learned (a tighter bound, slower)"
    )
    alpha: float = Field(
        1e-5,
        ge=1e-6,
        lt=0.5,
        description="whole numbers: distance of the logit's argument from zero and one; small: the blackest and the"
        " whitest level take much of the line, which suits drawings and does photographs little harm",
    )

    def univariate(self) -> Univariate:
        """What moves an element."""
        if self.coupling == "spline":
            return RationalQuadratic(self.bins)
        return MixtureCDF(self.components) if self.coupling == "mixture" else Affine()

    def dequantizer(self, shape: Shape, levels: int, context: int) -> Dequantizer:
        """The noise of pictures of so many whole numbers."""
        if self.dequantization == "uniform":
            return UniformDequantizer()
        return VariationalDequantizer(shape, levels, context=context, width=max(4, self.width // 2))

    def scales(self, shape: Shape) -> int:
        """How often pictures of this shape are halved.

        Raises:
            UsageError: fewer times than ``levels`` asks for.
        """
        most = halvings(shape[1], shape[2])
        if self.levels is None:
            return min(most, _MOST_LEVELS)
        if self.levels > most:
            raise UsageError(
                f"model.levels={self.levels}, but {shape[1]} x {shape[2]} pixels can be halved {most} times.",
                hint=f"Leave model.levels out, or give at most {most}; or crop or resize the pictures.",
            )
        return self.levels


class GlowScoring(Options):
    """Budget of the likelihood of pictures of whole numbers."""

    draws: int = Field(4, ge=1, le=100_000, description="dequantizations per picture: the bound rises with them")


def pixel_values(event: EventSpec) -> range | None:
    """The whole numbers that a pixel can be; None for reals."""
    if not event.is_image or len(event.segments) != 1 or event.shape[1] * event.shape[2] < 2:
        raise UnsupportedEventError(
            f"'glow' models pictures of one kind of pixel and at least two of them, got {event}.",
            hint="For vectors and tables use model.name=nsf.",
        )
    segment = event.segments[0]
    if segment.support is Support.REAL:
        return None
    if segment.support in (Support.INTEGER, Support.BINARY):
        low = int(segment.low or 0)
        return range(low, low + (segment.cardinality or 0))
    raise UnsupportedEventError(
        f"'glow' models pictures of reals or of whole numbers, got {event}.",
        hint="For pixels that are categories use model.name=pixel-transformer.",
    )
