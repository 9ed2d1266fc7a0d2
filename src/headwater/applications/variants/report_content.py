"""What a report on variant effects says, as plain values; all of it optional but the alignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from headwater.applications.variants.heat_map import HeatMap
from headwater.applications.variants.latent_map import LatentMap
from headwater.errors import UsageError

__all__ = [
    "Agreement",
    "AlignmentFacts",
    "Estimate",
    "MemberFacts",
    "MixtureClass",
    "ReportContent",
    "SampledSequence",
    "Spread",
]


@dataclass(frozen=True)
class AlignmentFacts:
    """What was learnt from.

    Attributes:
        target: The target's name.
        first: Number of the target's first residue.
        length: Residues of the target.
        columns: Modelled positions, L.
        sequences: Kept, N.
        neff: Sum of their weights.
        theta: Sequences that differ in less than this share count as one.
        convention: How weights are counted: ``eve`` or ``evcouplings``.
        dropped: Reason to count.
        source: File it was read from.
    """

    target: str
    first: int
    length: int
    columns: int
    sequences: int
    neff: float
    theta: float
    convention: str = "eve"
    dropped: Mapping[str, int] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class MemberFacts:
    """A model of the ensemble; ``held_out`` in nats per residue, ``counting``: it counts residues column by column."""

    name: str
    kind: str
    share: float
    held_out: float | None = None
    held_out_kind: Literal["exact", "lower bound", "estimate"] = "exact"
    stderr: float | None = None
    steps: int | None = None
    minutes: float | None = None
    counting: bool = False
    note: str = ""


@dataclass(frozen=True)
class Estimate:
    """A figure with the ends of its interval; None: no interval."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Agreement:
    """How well scores rank what an assay or labels say; the counting baseline is not optional.

    Attributes:
        name: Of the assay or the labels.
        measure: ``Spearman``, ``AUC``, ...
        n: Variants compared.
        counting: The figure of counting by column on the same variants.
        figures: Ensemble first, then members.
        left_out: Variants of the file that were not compared, reason to count.
        interval: What the intervals are.
    """

    name: str
    measure: str
    n: int
    counting: Estimate
    figures: tuple[Estimate, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    interval: str = "95 % by bootstrap over variants"


@dataclass(frozen=True)
class MixtureClass:
    """A normal component on the axis of scores (higher = better tolerated)."""

    name: str
    weight: float
    mean: float
    sd: float


@dataclass(frozen=True)
class Spread:
    """Scores, the classes fitted to them, and how many variants fell in each class.

    Attributes:
        scores: NaN: not scored.
        mixture: Components, none where no mixture was fitted.
        uncertain: Scores between which a variant is called uncertain.
        counts: Class to number of variants.
    """

    scores: Float[np.ndarray, " n"]
    mixture: tuple[MixtureClass, ...] = ()
    uncertain: tuple[float, float] | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SampledSequence:
    """A sequence drawn from a model; identities 0 to 1, ``nearest`` the natural sequence's name."""

    sequence: str
    nearest_identity: float
    nearest: str = ""
    target_identity: float | None = None
    score: float | None = None


@dataclass(frozen=True)
class ReportContent:
    """A whole report; sections without content are left out.

    Attributes:
        alignment: What was learnt from.
        members: Of the ensemble.
        heat_map: Scores of single variants; most and least tolerated positions come from it.
        spread: Distribution of scores.
        agreements: With assays and labels.
        correlation: (names, (k, k) Spearman correlations) between members' scores.
        latent_map: Codes on the plane.
        samples: Drawn sequences.
        statuses: What became of the requested variants, status to count.
        warnings: In the order of their weight.
        recipe: How it was made, key to value (command, seed, versions, machine).
        title: Heading; None: made of the target's name.
    """

    alignment: AlignmentFacts
    members: tuple[MemberFacts, ...] = ()
    heat_map: HeatMap | None = None
    spread: Spread | None = None
    agreements: tuple[Agreement, ...] = ()
    correlation: tuple[tuple[str, ...], Float[np.ndarray, "k k"]] | None = None
    latent_map: LatentMap | None = None
    samples: tuple[SampledSequence, ...] = ()
    statuses: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    recipe: Mapping[str, str] = field(default_factory=dict)
    title: str | None = None

    def __post_init__(self) -> None:
        if self.correlation is not None and len(self.correlation[0]) != len(self.correlation[1]):
            raise UsageError(
                f"Correlations take a name per member; got {len(self.correlation[0])} names "
                f"for {len(self.correlation[1])} rows.",
                hint="Give the members' names in the order of the rows.",
            )

    @property
    def counting_share(self) -> float | None:
        """Share of the ensemble that members who count by column carry; None without members."""
        return sum(member.share for member in self.members if member.counting) if self.members else None
