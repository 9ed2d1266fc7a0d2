"""A made-up protein family: residues of coupled sites, related sequences, a target, and effects that are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["ALPHABET", "Family", "write_family"]

ALPHABET = "ACDEFGHIKLMNPQRSTVWY"


class Family:
    """Sequences of a pairwise model of ``length`` sites, by Gibbs sweeps; ``effect`` is its log-odds of a variant."""

    def __init__(self, *, length: int = 40, sequences: int = 300, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.fields = generator.normal(0, 1.6, (length, 20))
        self.pairs = {(i, i + 1): 1.5 * np.eye(20)[generator.permutation(20)] for i in range(0, length - 1, 2)}
        codes = generator.integers(0, 20, (sequences, length))
        for _ in range(8):
            for site in range(length):
                logits = self._logits(codes, site)
                codes[:, site] = np.argmax(logits + generator.gumbel(size=logits.shape), axis=1)
        codes[0, 0] = 0  # the target begins with A
        self.codes = codes
        self.gaps = generator.uniform(size=codes.shape) < 0.04
        self.gaps[0] = False

    def _logits(self, codes: np.ndarray, site: int) -> np.ndarray:
        logits = np.repeat(self.fields[site][None], len(codes), axis=0)
        for (i, j), coupling in self.pairs.items():
            if site == i:
                logits = logits + coupling[:, codes[:, j]].T
            if site == j:
                logits = logits + coupling[codes[:, i]]
        return logits

    @property
    def target(self) -> str:
        """The first sequence."""
        return "".join(ALPHABET[code] for code in self.codes[0])

    def effects(self) -> dict[str, float]:
        """The true log-odds of every single substitution of the target."""
        found = {}
        for site, residue in enumerate(self.target):
            logits = self._logits(self.codes[:1], site)[0]
            for code, letter in enumerate(ALPHABET):
                if letter != residue:
                    found[f"{residue}{site + 1}{letter}"] = float(logits[code] - logits[self.codes[0, site]])
        return found

    def a2m(self, name: str = "TOY") -> str:
        """The family as an alignment."""
        lines = []
        for row, (codes, gaps) in enumerate(zip(self.codes, self.gaps, strict=True)):
            text = "".join("-" if gap else ALPHABET[code] for code, gap in zip(codes, gaps, strict=True))
            lines += [f">{name}/1-{len(text)}" if row == 0 else f">seq{row}", text]
        return "\n".join(lines) + "\n"


def write_family(folder: Path, *, name: str = "TOY", **options: int) -> Family:
    """Write family.a2m, database.fasta (unaligned), target.fasta, assay.csv and labels.csv of a family."""
    family = Family(**options)
    (folder / "family.a2m").write_text(family.a2m(name))
    records = [
        f">seq{i}\n{''.join(ALPHABET[c] for c in row[~gap])}"
        for i, (row, gap) in enumerate(zip(family.codes, family.gaps, strict=True))
    ]
    (folder / "database.fasta").write_text("\n".join(records) + "\n")
    (folder / "target.fasta").write_text(f">{name}\n{family.target}\n")
    effects = family.effects()
    (folder / "assay.csv").write_text("mutant,score\n" + "".join(f"{v},{e:.4f}\n" for v, e in effects.items()))
    ordered = sorted(effects, key=effects.__getitem__)
    labels = [f"{name},{v},1" for v in ordered[:40]] + [f"{name},{v},0" for v in ordered[-40:]]
    (folder / "labels.csv").write_text("protein_name,mutation,pathogenic\n" + "\n".join(labels) + "\n")
    return family
