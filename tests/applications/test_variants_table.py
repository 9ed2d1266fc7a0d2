"""Tables of variant scores: checked on the way in, the same after a round trip, with the notice on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from headwater.applications.variants import NOTICE
from headwater.applications.variants.table import VariantScores, read_scores, write_scores
from headwater.errors import DataError, UsageError

NAN = float("nan")


def table(protein: str = "P1", **changes: object) -> VariantScores:
    made = VariantScores(
        protein=protein,
        variants=("A24C", "A24C:G25D", '# a "typed",\nthing'),
        status=("scored", "scored", "not a substitution"),
        score=np.array([-1 / 3, -7.25, NAN]),
        stderr=np.array([0.1, NAN, NAN]),
        disagreement=np.array([0.0, 2.0, NAN]),
        members={"sites": np.array([-1.0, -2.0, NAN]), "vae 1": np.array([1e-9, 3e8, NAN])},
    )
    return replace(made, **changes)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_round_trip(tmp_path: Path, ending: str) -> None:
    first = table().having(
        class_=np.array(["benign", "uncertain", ""]),
        pathogenic_probability=np.array([0.1, 0.5, NAN]),
        uncertainty=np.array([0.3, 0.6, NAN]),
    )
    path = first.write(tmp_path / "new" / f"scores.{ending}")
    again = VariantScores.read(path)
    assert (again.protein, again.variants, again.status) == (first.protein, first.variants, first.status)
    for name in ("score", "stderr", "disagreement"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    assert list(again.members) == ["sites", "vae 1"]
    np.testing.assert_array_equal(again.members["vae 1"], first.members["vae 1"])
    assert again.extras["class"].tolist() == ["benign", "uncertain", ""]
    np.testing.assert_array_equal(again.extras["uncertainty"], first.extras["uncertainty"])


def test_notice(tmp_path: Path) -> None:
    text = table().write(tmp_path / "a.csv").read_text()
    assert text.startswith(f"# {NOTICE}\nprotein,variant,status,score,stderr,disagreement,evolutionary_index,")
    assert pl.read_parquet_metadata(table().write(tmp_path / "a.parquet"))["notice"] == NOTICE


def test_frame_and_counts() -> None:
    frame = table().frame()
    assert frame["evolutionary_index"].to_list() == [1 / 3, 7.25, None]
    assert frame["score_sites"].null_count() == 1
    assert table().counts == {"scored": 2, "not a substitution": 1}
    assert table().scored.tolist() == [True, True, False]


def test_nothing_scored_and_nothing_at_all(tmp_path: Path) -> None:
    none = np.full(2, NAN)
    empty = VariantScores("P", ("x", "y"), ("bad", "bad"), none, none, none)
    again = VariantScores.read(empty.write(tmp_path / "a.csv"))
    assert np.isnan(again.score).all()
    nothing = VariantScores("P", (), (), none[:0], none[:0], none[:0]).write(tmp_path / "b.csv")
    assert read_scores(nothing) == ()
    with pytest.raises(DataError, match="expected scores of one protein, got 0"):
        VariantScores.read(nothing)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_several_proteins_with_other_members(tmp_path: Path, ending: str) -> None:
    other = replace(table("P2"), members={"potts": np.array([0.5, 1.5, NAN])})
    other = other.having(class_=np.array(["benign", "benign", ""]))
    path = write_scores([table("P1"), other], tmp_path / f"all.{ending}")
    first, second = read_scores(path)
    assert (list(first.members), list(second.members)) == (["sites", "vae 1"], ["potts"])
    assert (list(first.extras), list(second.extras)) == ([], ["class"])
    np.testing.assert_array_equal(second.members["potts"], other.members["potts"])
    with pytest.raises(UsageError, match="got none"):
        write_scores([], tmp_path / f"none.{ending}")


def test_several_proteins(tmp_path: Path) -> None:
    both = pl.concat([table("P2").frame(), table("P1").frame()])
    both.write_csv(tmp_path / "merged.csv")
    tables = read_scores(tmp_path / "merged.csv")
    assert [t.protein for t in tables] == ["P2", "P1"]
    with pytest.raises(DataError, match="got 2: P2, P1"):
        VariantScores.read(tmp_path / "merged.csv")


def test_columns_are_checked() -> None:
    with pytest.raises(DataError, match="Expected 3 rows in every column, got 1 in 'uncertainty'"):
        table(extras={"uncertainty": np.zeros(1)})
    with pytest.raises(DataError, match="finite score where the status is 'scored'"):
        table(score=np.array([1.0, 2.0, 3.0]))
    with pytest.raises(DataError, match="score nan and status 'scored' for 'A24C:G25D'"):
        table(score=np.array([1.0, NAN, NAN]))
    with pytest.raises(UsageError, match="no extra column 'uncertainity'"):
        table().having(uncertainity=np.zeros(3))


def test_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Use \.csv or \.parquet"):
        table().write(tmp_path / "a.xlsx")
    path = table().write(tmp_path / "a.csv")
    with pytest.raises(UsageError, match="exists already"):
        table().write(path)
    table().write(path, exist_ok=True)
    with pytest.raises(DataError, match="does not exist"):
        VariantScores.read(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("protein,mutant,status,score\nP,A1C,scored,1\n")
    with pytest.raises(DataError, match="column 'variant' is missing"):
        VariantScores.read(tmp_path / "c.csv")
    (tmp_path / "d.csv").write_text("protein,variant,status,score\nP,A1C,scored,high\n")
    with pytest.raises(DataError, match="expected numbers in column 'score'"):
        VariantScores.read(tmp_path / "d.csv")
    (tmp_path / "e.parquet").write_bytes(b"not a table")
    with pytest.raises(DataError, match="cannot be read as a table"):
        VariantScores.read(tmp_path / "e.parquet")
