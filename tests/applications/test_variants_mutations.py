"""Spellings of variants, their check against the target, and lists of them in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headwater.applications.variants.lists import variants_of_file
from headwater.applications.variants.mutations import all_singles, read_variants
from headwater.applications.variants.spelling import spelled
from headwater.data.alignments.info import ALPHABET, Alignment
from headwater.errors import DataError

TARGET = Alignment(name="P", sequence="MKVACD", start=24, positions=(24, 25, 27, 28, 29), sequences=9, neff=4.0)


@pytest.mark.parametrize(
    "text",
    [
        *("A27C", "a27c", " A27C ", "p.Ala27Cys", "p.(Ala27Cys)", "Ala27Cys", "ALA27cys", "p.A27C", "(A27C)", "[A27C]"),
        *("NP_1.2:p.Ala27Cys", "NP_1.2:p.(Ala27Cys)", "p.[Ala27Cys]"),
    ],
)
def test_one_spelling_for_all(text: str) -> None:
    assert spelled(text).canonical == "A27C"


@pytest.mark.parametrize(
    "text",
    [
        *("M24C:A27D", "A27D:M24C", "M24C,A27D", "M24C; A27D", "M24C/A27D", "M24C+A27D", "p.[Met24Cys;Ala27Asp]"),
        *("p.Met24Cys;p.Ala27Asp", "Met24Cys:K25=:A27D", "NP_1.2:p.[Met24Cys;Ala27Asp]"),
    ],
)
def test_several(text: str) -> None:
    assert spelled(text).canonical == "M24C:A27D"


@pytest.mark.parametrize(
    ("text", "canonical"), [("A27=", "A27="), ("p.Ala27=", "A27="), ("A27A", "A27="), ("wt", "WT")]
)
def test_what_changes_nothing_is_the_wild_type(text: str, canonical: str) -> None:
    variants = read_variants([text], TARGET)
    assert variants.canonical == (canonical,)
    assert variants.status == ("ok",)
    assert variants.codes(slice(None)).tolist() == [variants.wild_type.tolist()]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("A27*", "a stop is gained"),
        ("p.Ala27Ter", "a stop is gained"),
        ("*30Q", "the stop is lost"),
        ("Ter30GlnextTer17", "the stop is lost"),
        ("p.Ala27del", "indels are not scored: the models compare sequences of one length"),
        ("p.Lys25_Ala27del", "indels"),
        ("K25_V26insG", "indels"),
        ("p.Ala27dup", "indels"),
        ("A27fs", "indels"),
        ("p.Ala27CysfsTer3", "indels"),
        ("A27-", "indels"),
        ("A27X", "'X' is not one of the twenty residues"),
        ("B27C", "'B' is not one of the twenty residues"),
        ("p.Ala27Sec", "'Sec' is not one of the twenty residues"),
        ("A27Foo", "'Foo' is not one of the twenty residues"),
        ("", "nothing is written"),
        ("hello", "'hello' is not a substitution such as A24C or p.Ala24Cys"),
        ("A27", "is not a substitution"),
        ("27C", "is not a substitution"),
        ("p.Met24?", "is not a substitution"),
        ("A" + "9" * 9999 + "C", "is not a substitution"),
        ("A\N{ARABIC-INDIC DIGIT TWO}7C", "is not a substitution"),
        ("c.524G>A", "is a change of DNA or RNA"),
        ("A23C", "position 23 lies outside of the target P, which spans 24 to 29"),
        ("A30C", "position 30 lies outside of the target P, which spans 24 to 29"),
        ("V26C", "position 26 is not modelled; to score it, fit with --set data.alignment.column_gaps=1"),
        ("K26C", "the target P has V at position 26, not K"),
        ("C27D", "the target P has A at position 27, not C"),
        ("C27=", "the target P has A at position 27, not C"),
        ("A27C:A27D", "position 27 is changed twice"),
        ("M24C:C27D", "the target P has A at position 27, not C"),
        ("M24C:", "'' is not a substitution"),
    ],
)
def test_refused_with_the_reason(text: str, reason: str) -> None:
    variants = read_variants(["A27C", text, "M24K"], TARGET)
    assert reason in variants.status[1]
    assert variants.canonical == ("A27C", text, "M24K")
    assert variants.rows.tolist() == [0, 2]
    np.testing.assert_array_equal(variants.spread(np.array([1.0, 2.0])), [1.0, np.nan, 2.0])


def test_all_singles() -> None:
    singles = all_singles(TARGET)
    assert len(singles) == len(set(singles)) == 19 * 5
    assert singles[:3] == ["M24A", "M24C", "M24D"]
    assert singles[-1] == "D29Y"
    variants = read_variants(singles, TARGET)
    assert set(variants.status) == {"ok"}
    codes = variants.codes(slice(None))
    assert ((codes != variants.wild_type).sum(axis=1) == 1).all()
    assert len(np.unique(codes, axis=0)) == 95
    for row, text in zip(codes, singles, strict=True):
        column = TARGET.positions.index(int(text[1:-1]))
        assert ALPHABET[row[column]] == text[-1]


def test_pieces_are_the_whole() -> None:
    texts = ["M24A:K25C", "bad", "WT", "D29A", "M24C:A27D:D29Y"] * 5
    variants = read_variants(texts, TARGET)
    whole = variants.codes(slice(None))
    assert whole.shape == (20, 5)
    parts = list(variants.pieces(3))
    np.testing.assert_array_equal(np.concatenate([codes for _, codes in parts]), whole)
    assert [piece.stop - piece.start for piece, _ in parts] == [3] * 6 + [2]
    assert "".join(ALPHABET[c] for c in whole[3]) == "CKDCY"
    assert variants.codes(slice(3, 3)).shape == (0, 5)
    assert variants.codes(slice(18, 999)).shape == (2, 5)


def test_no_variants() -> None:
    variants = read_variants([], TARGET)
    assert (len(variants), variants.codes(slice(None)).shape) == (0, (0, 5))
    assert list(variants.pieces()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "mutant,score\nA27C,1\nM24K:D29Y,2\n"),
        ("a.csv", '\ufeffscore,HGVS\n1,A27C\n2,"M24K:D29Y"\n'),
        ("a.tsv", "x\tmutation\n1\tA27C\n\n2\tM24K:D29Y\n"),
        ("a.csv", "# a note, with a comma\nprotein,variant\nP,A27C\nP,M24K:D29Y\n"),
        ("a.txt", "A27C\r\n\r\n# what follows is double\r\nM24K:D29Y\r\n"),
        ("a", "A27C\nM24K:D29Y"),
        ("a.csv", "A27C\nM24K:D29Y\n"),
    ],
)
def test_lists_in_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert variants_of_file(tmp_path / name) == ["A27C", "M24K:D29Y"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"mutan,score\nA27C,1\n", "Did you mean 'mutant'"),
        ("a.csv", b"x,y\nA27C,1\n", "The columns are: x, y"),
        ("a.csv", b"mutant,score\nA27C,1\nA27C\n", "line 3: expected 2 cells, got 1"),
        ("a.csv", b"mutant,score\n\nA27C,1\n,1\n", "line 4: expected a variant, got an empty cell"),
        ("a.csv", b'mutant,score\n"A27C"x,1\n', "line 2: "),
        ("a.csv", b"", "is empty"),
        ("a.csv", b"mutant\n", "holds no variants"),
        ("a.txt", b"\n\n", "holds no variants"),
        ("a.txt", b"A27C\n\xff\n", "UTF-8"),
        ("a.txt", b"A27C\nA\x0027C\n", "line 2: expected text, got a zero byte"),
        ("b/a.txt", None, "cannot be read"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        variants_of_file(tmp_path / name)
