"""An alignment from one sequence and a local file of others, at the threshold that its depth speaks for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from headwater.applications.variants.build_depth import Depth, effective_number, merit, occupied, reason
from headwater.applications.variants.build_target import read_one
from headwater.applications.variants.notice import NOTICE
from headwater.applications.variants.search import Found, require_pyhmmer, search
from headwater.data.alignments.info import ALPHABET, GAP
from headwater.errors import DataError, UsageError
from headwater.evaluation.text import figure, grid
from headwater.progress import Progress, SilentProgress
from headwater.runs.files import refuse_existing, reporting, write_atomic

__all__ = ["THRESHOLDS", "BuiltAlignment", "build_alignment"]

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Bits per residue of the target that are tried."""

_LEAST_ALIGNED = 0.5
_ENDINGS = (".a2m", ".fasta", ".fa", ".afa")


@dataclass(frozen=True)
class BuiltAlignment:
    """The alignment that was written, and what the other thresholds would have given.

    Args:
        path: The file, A2M: the target first, one column per residue of it.
        name: Of the target.
        depths: One per threshold, increasing.
        chosen: Number of the one that was written.
        why: It was.
        searched: Sequences of the file.
        too_long: Of them longer than HMMER's limit of 100,000 residues, not searched.
    """

    path: Path
    name: str
    depths: tuple[Depth, ...]
    chosen: int
    why: str
    searched: int
    too_long: int

    def __str__(self) -> str:
        head = ["bits/residue", "sequences", "Neff", "Neff/L", "coverage", "rounds", "too short", ""]
        rows = [head]
        for i, depth in enumerate(self.depths):
            neff = ["-", "-"] if depth.neff is None else [figure(depth.neff, 1), figure(depth.neff / depth.length, 2)]
            rounds = f"{depth.rounds}{' (converged)' if depth.converged else ''}"
            cells = [f"{depth.bits:g}", f"{depth.sequences:,}", *neff, f"{depth.coverage:.0%}", rounds]
            rows.append([*cells, f"{depth.short:,}", "<- written" if i == self.chosen else ""])
        lines = [f"{self.name}: {self.depths[0].length} residues, {self.searched:,} sequences searched"]
        if self.too_long:
            lines.append(f"{self.too_long:,} sequences of more than 100,000 residues were not searched")
        return "\n".join([*lines, grid(rows, right=range(7)), self.why, f"alignment: {self.path}", NOTICE])


def build_alignment(
    target: Path | str,
    database: Path | str,
    out: Path | str,
    *,
    bit_score_per_residue: float | None = None,
    thresholds: Sequence[float] | None = None,
    iterations: int = 5,
    cpus: int | None = None,
    exist_ok: bool = False,
    progress: Progress | None = None,
) -> BuiltAlignment:
    """Search a file with a sequence in rounds, once for each threshold, and write the alignment that suits best.

    Parts that align at least half of the target are kept, copies of the target are not; insertions are left out.
    Of the thresholds that meet EVE's rule the one with the largest effective number of sequences is written, else of
    those that meet the relaxed one, else of all, and the report says so; of equals the strictest.

    Args:
        target: FASTA of one record; a range in its name (``P53_HUMAN/94-312``) numbers its residues.
        database: FASTA of protein sequences, maybe gzipped; read in pieces.
        out: ``.a2m`` to write.
        bit_score_per_residue: The threshold to use; None: chosen.
        thresholds: To try; None: the one that is given, or :data:`THRESHOLDS`.
        iterations: Rounds of search.
        cpus: Threads; None: all.
        exist_ok: Replace the file.
        progress: Advances by searches.

    Raises:
        DataError: a target that is not one record of known residues, an unreadable or empty database, or nothing found.
        UsageError: a file that exists, another ending, or thresholds and rounds below what makes sense.
        MissingExtraError: pyhmmer is not installed.

    Reference:
        Disease variant prediction with deep generative models of evolutionary data (Frazer et al., 2021),
        https://doi.org/10.1038/s41586-021-04043-8.
    """
    place, source = Path(out), Path(database)
    tried = _thresholds(bit_score_per_residue, thresholds)
    _refuse(place, iterations, exist_ok=exist_ok)
    require_pyhmmer()
    name, sequence, start = read_one(Path(target))
    focus = np.array([ALPHABET.index(residue) for residue in sequence], dtype=np.uint8)
    threads, report = max(1, cpus or _cpus()), progress or SilentProgress()
    depths: list[Depth] = []
    kept: tuple[int, list[str], np.ndarray] | None = None
    with report.phase(f"Searching for {name}", total=len(tried) * iterations, unit="searches") as phase:
        for number, bits in enumerate(tried):
            found = search(
                name, sequence, source, bits=bits * len(sequence), rounds=iterations, threads=threads, phase=phase
            )
            names, codes, depth = _kept(found, focus, bits)
            depths.append(depth)
            better = kept is None or merit(depth) >= merit(depths[kept[0]])
            if bits == bit_score_per_residue or (bit_score_per_residue is None and better):
                kept = (number, names, codes)
    assert kept is not None
    chosen, names, codes = kept
    if not len(codes):
        raise DataError(
            f"{source}: none of {found.read:,} sequences aligns half of {name} at {tried[chosen]:g} bits per residue.",
            hint="Lower --bits, or search a larger file, such as UniRef.",
        )
    _write(place, [f"{name}/{start}-{start + len(sequence) - 1}", *names], np.concatenate([focus[None], codes]))
    why = reason(depths[chosen], given=bit_score_per_residue is not None)
    return BuiltAlignment(place, name, tuple(depths), chosen, why, found.read, found.too_long)


def _kept(found: Found, focus: UInt8[np.ndarray, " columns"], bits: float) -> tuple[list[str], np.ndarray, Depth]:
    long = (found.codes != GAP).mean(axis=1) >= _LEAST_ALIGNED if len(found.codes) else np.zeros(0, dtype=np.bool_)
    same = (found.codes == focus).all(axis=1)
    rows = np.flatnonzero(long & ~same)
    codes = found.codes[rows]
    full = np.concatenate([focus[None], codes])
    depth = Depth(
        bits=bits,
        sequences=len(full),
        neff=effective_number(full),
        coverage=occupied(full),
        length=len(focus),
        rounds=found.rounds,
        converged=found.converged,
        short=int((~long).sum()),
        same=int(same.sum()),
    )
    return [found.names[row] for row in rows], codes, depth


def _write(place: Path, names: list[str], codes: UInt8[np.ndarray, "rows columns"]) -> None:
    letters = np.frombuffer((ALPHABET + "-X").encode(), dtype=np.uint8)
    data = b"".join(b">%s\n%s\n" % (n.encode(), letters[row].tobytes()) for n, row in zip(names, codes, strict=True))
    with reporting(place, "Writing"):
        place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, data)


def _thresholds(given: float | None, tried: Sequence[float] | None) -> tuple[float, ...]:
    some = set(tried if tried is not None else () if given is not None else THRESHOLDS)
    some |= {given} if given is not None else set()
    wrong = [bits for bits in some if not 0 < bits <= 5]
    if wrong or not some:
        raise UsageError(
            f"Expected bits per residue above 0 and up to 5, got {wrong[0] if wrong else 'none'}.",
            hint="0.3 is a good beginning; close families stand 0.7.",
        )
    return tuple(sorted(some))


def _refuse(place: Path, iterations: int, *, exist_ok: bool) -> None:
    if place.suffix.lower() not in _ENDINGS:
        raise UsageError(f"An alignment cannot be written as {place.suffix or place.name!r}.", hint="Use .a2m.")
    refuse_existing(place, exist_ok=exist_ok)
    if not 1 <= iterations <= 100:
        raise UsageError(f"Expected 1 to 100 rounds of search, got {iterations}.", hint="5 is usual.")


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
