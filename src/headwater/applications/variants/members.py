"""What an ensemble is made of: the members that are fitted by default, and the record of each that was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic import Field

from headwater.config import Config
from headwater.errors import UsageError, did_you_mean

__all__ = ["KINDS", "EnsembleRecord", "Kind", "MemberPlan", "MemberRecord", "plan_members"]


class Kind(NamedTuple):
    """A kind of member: its model in the registry, that model's settings, and what it knows."""

    model: str
    settings: Mapping[str, Any]
    knows: Literal["sites", "pairs", "codes"]


KINDS: Mapping[str, Kind] = {
    "counting": Kind("sites", {"prior": "counting"}, "sites"),
    "sites": Kind("sites", {}, "sites"),
    "potts": Kind("potts", {}, "pairs"),
    "pairwise": Kind("pairwise", {}, "pairs"),
    "vae": Kind("bayesian-vae", {}, "codes"),
}
"""Kinds of members: of single sites, of pairs of sites, of all sites by a code."""

_SEEDED = ("vae",)


@dataclass(frozen=True)
class MemberPlan:
    """A member to fit: its name, kind and seed, and settings of its run by section."""

    name: str
    kind: str
    seed: int
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Its model in the registry."""
        return KINDS[self.kind].model

    @property
    def independent(self) -> bool:
        """Whether it knows single sites alone."""
        return KINDS[self.kind].knows == "sites"


class MemberRecord(Config):
    """A fitted member, as ``ensemble.json`` holds it."""

    name: str = Field(description="of its run, in the folder members")
    kind: str = Field(description="counting, sites, potts, pairwise or vae")
    independent: bool = Field(description="whether it knows single sites alone")
    share: float = Field(ge=0, le=1, description="of the ensemble")
    spread: float = Field(ge=0, description="standard deviation of its scores over all single substitutions, nats")
    nats: float | None = Field(None, description="held-out log-likelihood per residue; None: it has none")
    nats_stderr: float | None = Field(None, description="its standard error, over sequences")
    nats_kind: Literal["exact", "lower bound", "estimate", "pseudo-likelihood"] | None = Field(
        None, description="of that likelihood"
    )
    steps: int = Field(ge=0, description="of training")
    seconds: float = Field(ge=0, description="of training")


class EnsembleRecord(Config):
    """``ensemble.json``: what the folder of a protein holds."""

    version: Literal[1] = Field(1, description="of this file's layout")
    alignment: str = Field(description="file it was fitted to")
    fingerprint: str = Field(description="of the data")
    notice: str = Field(description="what it may be used for")
    members: tuple[MemberRecord, ...] = Field(min_length=1, description="in order")


def plan_members(
    kinds: Sequence[str] = tuple(KINDS),
    *,
    seeds: int = 3,
    seed: int = 0,
    settings: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> tuple[MemberPlan, ...]:
    """The members of an ensemble of these kinds; VAEs once per seed, what has one optimum once.

    Args:
        kinds: Some of :data:`KINDS`; ``counting`` always comes along, since everything is compared with it.
        seeds: How many VAEs.
        seed: Of the first one.
        settings: By kind, then by section of the run: ``{"vae": {"training": {"steps": 2000}}}``.

    Raises:
        UsageError: an unknown kind.

    >>> [member.name for member in plan_members(["vae"], seeds=2)]
    ['counting', 'vae-0', 'vae-1']
    """
    if unknown := [kind for kind in (*kinds, *(settings or {})) if kind not in KINDS]:
        raise UsageError(f"There is no kind of member {unknown[0]!r}.", hint=did_you_mean(unknown[0], KINDS))
    if seeds < 1:
        raise UsageError(f"Expected one seed or more, got {seeds}.", hint="--seeds 3")
    members = []
    for kind in KINDS:
        if kind != "counting" and kind not in kinds:
            continue
        for i in range(seeds if kind in _SEEDED else 1):
            own = {section: dict(values) for section, values in (settings or {}).get(kind, {}).items()}
            own["model"] = {**KINDS[kind].settings, **own.get("model", {})}
            name = f"{kind}-{i}" if kind in _SEEDED else kind
            members.append(MemberPlan(name, kind, seed + i, own))
    return tuple(members)
