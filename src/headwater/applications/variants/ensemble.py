"""The ensemble of one protein: members fitted to its alignment, which score variants together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import final

import numpy as np
from jaxtyping import Float64, UInt8

from headwater.applications.variants.members import EnsembleRecord, MemberRecord
from headwater.applications.variants.mutations import OK, Variants, all_singles, read_variants
from headwater.applications.variants.pool import member_weights
from headwater.applications.variants.scoring import score_variants
from headwater.applications.variants.table import SCORED, VariantScores
from headwater.data.alignments.info import Alignment
from headwater.data.alignments.letters import to_codes
from headwater.errors import CheckpointError, DataError, UsageError, did_you_mean
from headwater.progress import Progress, SilentProgress
from headwater.runs.files import read_json
from headwater.runs.run import Run

__all__ = ["RECORD", "Ensemble", "ensembles_in"]

RECORD = "ensemble.json"


@final
class Ensemble:
    """A folder that :func:`headwater.applications.variants.fit.fit_protein` wrote, opened."""

    def __init__(self, path: Path, record: EnsembleRecord, device: str) -> None:
        self.path, self.record, self._device = path, record, device

    @classmethod
    def open(cls, path: Path | str, *, device: str = "auto") -> Ensemble:
        """The ensemble in a folder.

        Raises:
            UsageError: there is no such folder, or it is a queue's, which holds several; their names are given.
            CheckpointError: its record is damaged or missing.
        """
        place = Path(path)
        if not (place / RECORD).is_file():
            inside = sorted(found.parent.name for found in place.glob(f"*/{RECORD}"))
            beside = [found.parent.name for found in place.parent.glob(f"*/{RECORD}")]
            hint = f"It holds {', '.join(inside[:8])}: give one." if inside else did_you_mean(place.name, beside)
            raise UsageError(
                f"{path} holds no ensemble of a protein.", hint=hint or "Make one: headwater variants fit ALIGNMENT"
            )
        record = EnsembleRecord.parse(read_json(place / RECORD), where=str(place / RECORD))
        return cls(place, record, device)

    def __repr__(self) -> str:
        return f"Ensemble({self.name!r}, {', '.join(member.name for member in self.members)})"

    @property
    def name(self) -> str:
        """The protein's name, as the alignment's first sequence has it."""
        return self.alignment.name

    @property
    def members(self) -> tuple[MemberRecord, ...]:
        """What was fitted, with the share of each."""
        return self.record.members

    def run(self, member: str) -> Run:
        """The run of a member.

        Raises:
            UsageError: no such member.
        """
        if member not in self._runs:
            names = [record.name for record in self.members]
            if member not in names:
                raise UsageError(f"There is no member {member!r}.", hint=did_you_mean(member, names))
            self._runs[member] = Run.load(self.path / "members" / member, device=self._device)
        return self._runs[member]

    @cached_property
    def _runs(self) -> dict[str, Run]:
        return {}

    @cached_property
    def alignment(self) -> Alignment:
        """The target and what of it is modelled."""
        found = self.run(self.members[0].name).schema.alignment
        if found is None:
            raise CheckpointError(f"{self.path}: its members were not fitted to an alignment.")
        return found

    @cached_property
    def wild_type(self) -> UInt8[np.ndarray, " sites"]:
        """The target at the modelled positions, as codes."""
        return to_codes(self.alignment.wild_type.encode())

    @property
    def weights(self) -> Float64[np.ndarray, " members"]:
        """What each score is multiplied by; see :func:`headwater.applications.variants.pool.member_weights`."""
        return member_weights([m.share for m in self.members], [m.spread for m in self.members])

    def score(
        self,
        variants: Sequence[str] | None = None,
        *,
        tolerance: float = 0.05,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> VariantScores:
        """How much likelier each variant is than the wild type, by the ensemble and by each member, nats.

        Every variant asked for gets a row, with the reason where it could not be scored.

        Args:
            variants: ``A24C``, ``p.Ala24Cys``, multiples ``A24C:D30E``; None: all single substitutions.
            tolerance: Standard error to reach, as a share of the spread of the member's scores over all singles.
            seed: Of the members' draws.
            progress: Who hears how far it is.

        Raises:
            DataError: no variants were given.
        """
        texts = all_singles(self.alignment) if variants is None else list(variants)
        if not texts:
            raise DataError("Expected variants to score, got none.", hint="Leave them out to score all singles.")
        if not 0 < tolerance <= 1:
            raise UsageError(f"tolerance is a share between 0 and 1, got {tolerance}.")
        parsed = read_variants(texts, self.alignment)
        names = [member.name for member in self.members]
        scores = np.full((len(names), len(texts)), np.nan)
        errors = np.full((len(names), len(texts)), np.nan)
        report = progress or SilentProgress()
        with report.phase(f"Scoring {self.name}", total=len(names), unit="members") as phase:
            for i, member in enumerate(self.members):
                run, stop = self.run(member.name), tolerance * member.spread
                value, error = score_variants(run, parsed, tolerance=stop, seed=seed)
                scores[i, parsed.rows], errors[i, parsed.rows] = value, error
                phase.advance()
        return self._table(parsed, scores, errors)

    def _table(
        self,
        parsed: Variants,
        scores: Float64[np.ndarray, "members n"],
        errors: Float64[np.ndarray, "members n"],
    ) -> VariantScores:
        weights = self.weights
        share = np.array([member.share for member in self.members])
        pooled = weights @ scores
        scaled = np.divide(weights, share, out=np.zeros_like(weights), where=share > 0)[:, None] * scores
        disagreement = np.sqrt(share @ (scaled - pooled) ** 2)
        return VariantScores(
            protein=self.name,
            variants=tuple(parsed.canonical),
            status=tuple(SCORED if status == OK else status for status in parsed.status),
            score=pooled,
            stderr=np.sqrt(((weights[:, None] * errors) ** 2).sum(axis=0)),
            disagreement=disagreement,
            members={member.name: scores[i] for i, member in enumerate(self.members)},
        )


def ensembles_in(path: Path | str, *, device: str = "auto") -> tuple[Ensemble, ...]:
    """The ensemble in a folder, or all those in the folder of a queue, by name.

    Raises:
        UsageError: there is none.
    """
    place = Path(path)
    inside = sorted(found.parent for found in place.glob(f"*/{RECORD}"))
    if (place / RECORD).is_file() or not inside:
        return (Ensemble.open(place, device=device),)
    return tuple(Ensemble.open(one, device=device) for one in inside)
