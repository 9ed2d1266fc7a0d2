"""Searching a sequence file with a profile, round by round: jackhmmer's way, read in pieces.

A profile of one sequence finds its nearest; the next round's profile is of all that was found. Its columns stay the
target's residues throughout.

Reference:
    Hidden Markov model speed heuristic and iterative HMM search procedure (Johnson, Eddy & Portugaly, 2010),
    https://doi.org/10.1186/1471-2105-11-431.
"""

from __future__ import annotations

import gzip
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from headwater.data.alignments.info import GAP, UNKNOWN
from headwater.data.alignments.letters import ILLEGAL, to_codes
from headwater.errors import DataError, MissingExtraError
from headwater.progress import Phase

__all__ = ["Found", "require_pyhmmer", "search"]

_LONGEST = 100_000  # HMMER's own limit
_RESIDUES = 4_000_000  # read at a time
_SEQUENCES = 16_384
_MODELLED = 20_000  # rows that a profile is made of, at most


def require_pyhmmer() -> Any:
    """The module pyhmmer.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import_module("pyhmmer.easel")
        import_module("pyhmmer.plan7")
        return import_module("pyhmmer")
    except ImportError:
        raise MissingExtraError("pyhmmer", "proteins", "Building an alignment") from None


@dataclass
class Found:
    """What the last round found.

    Args:
        names: ``NAME/from-to`` of each row.
        codes: Rows over the target's residues; 20 is a gap, 21 a residue that is not known.
        rounds: Searches made.
        converged: The last round found nothing new.
        read: Sequences in the file.
        too_long: Of them longer than 100,000 residues, which are not searched.
    """

    names: list[str]
    codes: UInt8[np.ndarray, "rows columns"]
    rounds: int = 0
    converged: bool = False
    read: int = 0
    too_long: int = 0


@dataclass
class _Hits:
    """Hits of one pass over the file."""

    hits: Any = None
    read: int = 0
    too_long: int = 0
    names: frozenset[str] = field(default_factory=frozenset)


def search(name: str, sequence: str, database: Path, *, bits: float, rounds: int, threads: int, phase: Phase) -> Found:
    """Search ``rounds`` times, or until nothing new is found.

    Memory holds what was found and a few pieces of the file, never the file.

    Args:
        name: Of the target.
        sequence: Its residues.
        database: FASTA, maybe gzipped.
        bits: Score that a sequence and each of its aligned parts need, in bits.
        rounds: Passes over the file, at most.
        threads: That search pieces side by side; the result does not depend on it.
        phase: Advances by passes.

    Raises:
        DataError: the file is missing, empty, not FASTA, or of nucleotides.
        MissingExtraError: pyhmmer is not installed.
    """
    pyhmmer = require_pyhmmer()
    easel, plan7 = pyhmmer.easel, pyhmmer.plan7
    alphabet = easel.Alphabet.amino()
    background = plan7.Background(alphabet)
    # By hand: the reference line of the last round's alignment marks the target's residues as the columns.
    builder = plan7.Builder(alphabet, architecture="hand")
    target = easel.TextSequence(name="target", sequence=sequence).digitize(alphabet)
    profile = builder.build(target, background)[0]
    before: frozenset[str] = frozenset()
    for number in range(1, rounds + 1):
        one = _pass(pyhmmer, alphabet, profile, database, bits=bits, threads=threads)
        phase.advance()
        converged = one.names == before
        if converged or number == rounds:
            phase.advance(rounds - number)
            names, codes = _rows(one.hits, len(sequence))
            return Found(names, codes, number, converged, one.read, one.too_long)
        before = one.names
        _thin(one.hits)
        aligned = one.hits.to_msa(
            alphabet,
            sequences=[target],
            traces=[plan7.Trace.from_sequence(target)],
            all_consensus_cols=True,
            digitize=True,
        )
        aligned.name = f"{name} {number}"
        profile = builder.build_msa(aligned, background)[0]
        assert len(sequence) == profile.M
    raise AssertionError(rounds)


def _pass(pyhmmer: Any, alphabet: Any, profile: Any, database: Path, *, bits: float, threads: int) -> _Hits:
    def hits_of(block: Any) -> Any:
        # Bit scores decide; a fixed size of the database makes pieces comparable.
        pipeline = pyhmmer.plan7.Pipeline(
            alphabet, Z=1e6, domZ=1e6, T=bits, domT=bits, incT=bits, incdomT=bits, seed=42
        )
        return pipeline.search_hmm(profile, block)

    one, parts = _Hits(), []
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Any]] = deque()
        for block in _blocks(pyhmmer, alphabet, database, one):
            waiting.append(pool.submit(hits_of, block))
            if len(waiting) > threads:
                parts.append(_reported(waiting.popleft().result()))
        parts += [_reported(future.result()) for future in waiting]
    found = [hits for hits in parts if hits is not None] or [hits_of(pyhmmer.easel.DigitalSequenceBlock(alphabet, []))]
    one.hits = found[0].merge(*found[1:]) if len(found) > 1 else found[0]
    one.hits.sort(by="key")
    one.names = frozenset(hit.name for hit in one.hits if hit.included)
    return one


def _reported(hits: Any) -> Any:
    return hits if any(hit.included for hit in hits) else None


def _blocks(pyhmmer: Any, alphabet: Any, database: Path, one: _Hits) -> Iterator[Any]:
    with _opened(database) as source, _reading(database):
        file = pyhmmer.easel.SequenceFile(source, format="fasta", digital=True, alphabet=alphabet)
        with file:
            while block := file.read_block(sequences=_SEQUENCES, residues=_RESIDUES):
                if not one.read:
                    _refuse_nucleotides(block, alphabet, database)
                one.read += len(block)
                kept = [sequence for sequence in block if 0 < len(sequence) <= _LONGEST]
                one.too_long += sum(len(sequence) > _LONGEST for sequence in block)
                yield block if len(kept) == len(block) else pyhmmer.easel.DigitalSequenceBlock(alphabet, kept)


@contextmanager
def _opened(database: Path) -> Iterator[Any]:
    """The path itself, or an open file where it is compressed."""
    try:
        with database.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise DataError(f"{database} cannot be read: {error.strerror}.") from None
    if not zipped:
        yield str(database)
        return
    with gzip.open(database) as file:
        yield file


@contextmanager
def _reading(database: Path) -> Iterator[None]:
    hint = "Give a FASTA file of protein sequences, not aligned; it may be gzipped."
    try:
        yield
    except EOFError as error:
        what = "is empty" if "empty" in str(error) else "ends before it should: its compression is cut short"
        raise DataError(f"{database} {what}.", hint=hint) from None
    except DataError:
        raise
    except (ValueError, OSError) as error:
        reason = str(error).removeprefix("Could not parse file: ").rstrip(".\n")
        raise DataError(f"{database} cannot be read as FASTA: {reason}.", hint=hint) from None


def _refuse_nucleotides(block: Any, alphabet: Any, database: Path) -> None:
    letters = np.concatenate([np.asarray(sequence.sequence, dtype=np.uint8) for sequence in block[:1000]])
    four = [alphabet.symbols.index(letter) for letter in "ACGTN"]
    if len(letters) > 100 and np.isin(letters, four).mean() > 0.95:
        raise DataError(
            f"{database} looks like nucleotides: nearly all of its letters are A, C, G or T.",
            hint="Translate it to protein sequences first.",
        )


def _thin(hits: Any) -> None:
    """Leave every k-th hit, so that a profile is made of a bounded number of rows from near and far."""
    included = [hit for hit in hits if hit.included]
    step = -(-len(included) // _MODELLED)
    for number, hit in enumerate(included):
        if step > 1 and number % step:
            hit.included = False


def _rows(hits: Any, length: int) -> tuple[list[str], UInt8[np.ndarray, "rows columns"]]:
    """Aligned parts over the profile's columns; what is inserted between them is left out."""
    names: list[str] = []
    rows: list[np.ndarray] = []
    for hit in hits:
        if not hit.included:
            continue
        for domain in hit.domains.included:
            aligned = domain.alignment
            columns = np.frombuffer(aligned.hmm_sequence.encode(), dtype=np.uint8) != ord(".")
            row = np.full(length, GAP, dtype=np.uint8)
            row[aligned.hmm_from - 1 : aligned.hmm_to] = to_codes(aligned.target_sequence.encode())[columns]
            row[row == ILLEGAL] = UNKNOWN  # a stop within
            names.append(f"{hit.name}/{aligned.target_from}-{aligned.target_to}")
            rows.append(row)
    return names, np.stack(rows) if rows else np.empty((0, length), dtype=np.uint8)
