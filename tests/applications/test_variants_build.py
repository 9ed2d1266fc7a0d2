"""Alignments built from a file of sequences: homologs are found, in the right columns, and nothing else."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from headwater.applications.variants.build import build_alignment
from headwater.applications.variants.build_depth import Depth
from headwater.data import open_dataset
from headwater.data.alignments.info import ALPHABET
from headwater.errors import DataError, MissingExtraError, UsageError

L = 120
FREQUENCIES = np.array([8, 1, 5, 6, 4, 7, 2, 6, 6, 10, 2, 4, 5, 4, 5, 7, 5, 7, 1, 3]) / 98


def protein(random: np.random.Generator, n: int) -> str:
    return "".join(random.choice(list(ALPHABET), n, p=FREQUENCIES))


def relative(random: np.random.Generator, target: str, change: float) -> tuple[str, str]:
    """A mutated copy with deletions and insertions within flanks, and its row over the target's columns."""
    row = [protein(random, 1) if random.random() < change else letter for letter in target]
    cut = int(random.integers(30, 80))
    row[cut : cut + 4] = "----"
    extra = int(random.integers(15, 25))
    whole = "".join(row[:extra]) + "WWGGGW" + "".join(row[extra:])
    return protein(random, 20) + whole.replace("-", "") + protein(random, 15), "".join(row)


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str, dict[str, str]]:
    random = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("family")
    target = protein(random, L)
    rows: dict[str, str] = {}
    records = [("itself", target)]
    for i in range(60):
        whole, rows[f"near{i}"] = relative(random, target, 0.35)
        records.append((f"near{i}", whole))
    records += [(f"half{i}", relative(random, target, 0.2)[0][:60]) for i in range(5)]  # 34 residues aligned
    records += [(f"other{i}", protein(random, int(random.integers(80, 300)))) for i in range(300)]
    order = random.permutation(len(records))
    (folder / "db.fasta").write_text("".join(f">{records[i][0]} text\n{records[i][1]}\n" for i in order))
    (folder / "target.fasta").write_text(f">sp|P12345|TEST_HUMAN/24-{23 + L} a protein\n{target[:50]}\n{target[50:]}\n")
    return folder / "target.fasta", folder / "db.fasta", target, rows


def read(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    return dict(zip((line[1:] for line in lines[::2]), lines[1::2], strict=True))


def test_homologs_in_their_columns(family: tuple[Path, Path, str, dict[str, str]], tmp_path: Path) -> None:
    target, database, sequence, truth = family
    built = build_alignment(target, database, tmp_path / "out.a2m", cpus=1, iterations=3)
    rows = read(tmp_path / "out.a2m")
    assert next(iter(rows.items())) == (f"TEST_HUMAN/24-{23 + L}", sequence)
    found = {name.split("/")[0]: row for name, row in list(rows.items())[1:]}
    assert len(found) == len(rows) - 1
    assert {len(row) for row in found.values()} == {L}
    assert set(found) <= set(truth)  # neither random ones, nor short ones, nor the target again
    assert len(found) >= 57
    same = [a == b for name, row in found.items() for a, b in zip(row, truth[name], strict=True)]
    assert np.mean(same) > 0.96
    residues = [
        a == b for name, row in found.items() for a, b in zip(row, truth[name], strict=True) if "-" not in (a, b)
    ]
    assert np.mean(residues) > 0.97
    assert [depth.bits for depth in built.depths] == [0.1, 0.3, 0.5, 0.7, 0.9]
    opened = open_dataset(tmp_path / "out.a2m")
    assert opened.schema.alignment is not None
    assert (opened.schema.alignment.name, opened.schema.alignment.start) == ("TEST_HUMAN", 24)
    best = built.depths[built.chosen]
    assert (best.sequences, best.same, best.rule) == (len(rows), 1, 0)
    assert best.neff is not None
    assert best.neff > 50
    assert best.coverage > 0.9
    assert built.searched == 366
    text = str(built)
    assert "no threshold meets EVE's rule" in text
    assert text.endswith("Research use only, not for diagnosis.")
    assert text.count("<- written") == 1


def test_threads_pieces_and_compression_change_nothing(
    family: tuple[Path, Path, str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, database, _, _ = family
    first = build_alignment(target, database, tmp_path / "a.a2m", bit_score_per_residue=0.3, iterations=2, cpus=1)
    assert (len(first.depths), first.chosen, first.why) == (1, 0, "0.3 bits per residue, as asked for.")
    monkeypatch.setattr("headwater.applications.variants.search._SEQUENCES", 17)
    (tmp_path / "db.gz").write_bytes(gzip.compress(database.read_bytes()))
    second = build_alignment(
        target, tmp_path / "db.gz", tmp_path / "b.a2m", bit_score_per_residue=0.3, iterations=2, cpus=2
    )
    assert read(tmp_path / "a.a2m") == read(tmp_path / "b.a2m")
    assert first.depths == second.depths


def test_rounds_reach_farther(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    target = protein(random, 150)
    records, ancestor = [], target
    for step in range(4):
        ancestor = "".join(protein(random, 1) if random.random() < 0.3 else letter for letter in ancestor)
        for i in range(12):
            child = "".join(protein(random, 1) if random.random() < 0.15 else letter for letter in ancestor)
            records.append(f">step{step}_{i}\n{child}\n")
    (tmp_path / "db.fa").write_text("".join(records))
    (tmp_path / "t.fa").write_text(f">T\n{target}\n")
    one, many = (
        build_alignment(
            tmp_path / "t.fa",
            tmp_path / "db.fa",
            tmp_path / f"{n}.a2m",
            bit_score_per_residue=0.4,
            iterations=n,
            cpus=1,
        ).depths[0]
        for n in (1, 5)
    )
    assert many.sequences > one.sequences
    assert (one.rounds, one.converged) == (1, False)
    assert many.converged


def test_a_bounded_number_of_rows_makes_a_profile(
    family: tuple[Path, Path, str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.applications.variants.search._MODELLED", 20)
    built = build_alignment(*family[:2], tmp_path / "a.a2m", bit_score_per_residue=0.3, iterations=3, cpus=1)
    assert built.depths[0].sequences >= 55


@pytest.mark.parametrize(
    ("sequences", "coverage", "rule"),
    [(1_000, 0.8, 2), (100_001, 0.9, 1), (5_000, 0.75, 1), (999, 0.9, 0), (5_000, 0.69, 0), (200_001, 0.9, 0)],
)
def test_rule(sequences: int, coverage: float, rule: int) -> None:
    assert Depth(0.3, sequences, 10.0, coverage, 100, 5, True, 0, 0).rule == rule


def test_database_is_checked(family: tuple[Path, Path, str, dict[str, str]], tmp_path: Path) -> None:
    target = family[0]
    random = np.random.default_rng(1)
    strangers = "".join(f">r{i}\n{protein(random, 200)}\n" for i in range(20))
    for text, message in (
        ("", "is empty"),
        ("MKVL\n", "cannot be read as FASTA.*expected FASTA"),
        (">a\nMKV1L\n", "cannot be read as FASTA: Line 2: illegal character 1"),
        (">a\n" + "ACGT" * 50 + "\n", "looks like nucleotides"),
        (strangers, "none of 20 sequences aligns half of TEST_HUMAN"),
        (f">itself\n{family[2]}\n", "none of 1 sequences"),
    ):
        (tmp_path / "db.fa").write_text(text)
        with pytest.raises(DataError, match=message):
            build_alignment(target, tmp_path / "db.fa", tmp_path / "a.a2m", cpus=1)
    whole = gzip.compress(family[1].read_bytes())
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.gz"):
        build_alignment(target, tmp_path / "cut.gz", tmp_path / "a.a2m", cpus=1)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        build_alignment(target, tmp_path / "none.fa", tmp_path / "a.a2m", cpus=1)
    assert not (tmp_path / "a.a2m").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nMKVLACDEFG\n>b\nMKVLACDEFG\n", "one sequence, got 2 records"),
        ("", "got 0 records"),
        ("MKVLACDEFG\n", "got 0 records"),
        (">a\nMKVLACXEFG\n", "residue 7 of the target is 'X'"),
        (">a\nMKV\n", "at least 10 residues"),
        (">a/5-9\nMKVLACDEFG\n", "called 'a/5-9', but has 10 residues"),
    ],
)
def test_target_is_checked(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.fa").write_text(text)
    with pytest.raises(DataError, match=message):
        build_alignment(tmp_path / "t.fa", tmp_path / "t.fa", tmp_path / "a.a2m")


def test_arguments_are_checked(
    family: tuple[Path, Path, str, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, database = family[:2]
    with pytest.raises(UsageError, match=r"Use \.a2m"):
        build_alignment(target, database, tmp_path / "a.sto")
    with pytest.raises(UsageError, match="above 0 and up to 5, got 30"):
        build_alignment(target, database, tmp_path / "a.a2m", bit_score_per_residue=30.0)
    with pytest.raises(UsageError, match="1 to 100 rounds"):
        build_alignment(target, database, tmp_path / "a.a2m", iterations=0)
    with pytest.raises(UsageError, match="exists already"):
        build_alignment(target, database, database)
    monkeypatch.setitem(sys.modules, "pyhmmer.easel", None)
    with pytest.raises(MissingExtraError, match=r"headwater\[proteins\]"):
        build_alignment(target, database, tmp_path / "a.a2m")
