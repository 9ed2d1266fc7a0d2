"""Assays and labels are matched whatever their spelling, and every row of a file is used or counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headwater.applications.variants.labels import Labels, read_assay, read_labels
from headwater.applications.variants.table import VariantScores
from headwater.errors import DataError

NAN = float("nan")
WILD = "MKVACDEFGH"


def table(protein: str = "P53_HUMAN") -> VariantScores:
    names = [f"{w}{i}{to}" for i, w in enumerate(WILD, 24) for to in "YW"]
    status = ["position 25 is not modelled" if "25" in name else "scored" for name in names]
    score = np.array([-float(i) if s == "scored" else NAN for i, s in enumerate(status)])
    return VariantScores(protein, tuple(names), tuple(status), score, score * 0, score * 0)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_assay(tmp_path: Path) -> None:
    rows = [
        "M24Y,1.5",
        "p.Val26Trp,2",
        "A27Y,4",
        "A27Y,5",
        "K25Y,1",
        "M24C,1",
        "C26Y,1",
        "A27del,1",
        "A27A,1",
        "C28Y,NA",
    ]
    assay = read_assay(written(tmp_path / "assay.csv", "mutant,DMS_score\n" + "\n".join(rows) + "\n"))
    found = assay.match(table())
    assert [table().variants[row] for row in found.rows] == ["M24Y", "V26W", "A27Y"]
    assert found.values.tolist() == [1.5, 2, 4.5]
    assert found.left_out == {
        "without a score": 1,
        "not among the variants scored": 1,
        "another residue than the target's": 1,
        "no substitution, or not readable": 1,
        "changes nothing": 1,
        "no measurement": 1,
        "measured again (the mean is used)": 1,
    }
    assert len(found.rows) + sum(found.left_out.values()) == len(assay) == 10
    assert "assay: 3 variants measured and scored; rows left out: 1 without a score" in str(found)


def test_labels(tmp_path: Path) -> None:
    text = "protein_name,mutation,pathogenic\n" + "\n".join(
        [
            *(
                "P53_HUMAN,M24Y,1",
                "p53_human,V26Y,Likely_benign",
                "P53_HUMAN,V26Y,0",
                "P53_HUMAN,A27Y,1",
                "P53_HUMAN,A27Y,0",
            ),
            *("P53_HUMAN,C28Y,Uncertain significance", "PTEN_HUMAN,M1V,1", "PTEN_HUMAN,M24Y,0"),
        ]
    )
    labels = read_labels(written(tmp_path / "labels.csv", text))
    found = labels.match(table())
    assert [table().variants[row] for row in found.rows] == ["M24Y", "V26Y"]
    assert found.values.tolist() == [1, 0]
    assert found.left_out == {
        "of other proteins": 2,
        "neither pathogenic nor benign": 1,
        "contradictory labels": 2,
        "labelled again": 1,
    }
    assert len(found.rows) + sum(found.left_out.values()) == len(labels)
    renamed = labels.match(table("TP53"), protein="P53_HUMAN")
    assert renamed.values.tolist() == [1, 0]


def test_other_proteins(tmp_path: Path) -> None:
    labels = read_labels(written(tmp_path / "l.csv", "protein,variant,label\nP53_HUMAN,M24Y,benign\n"))
    with pytest.raises(DataError, match=r"no rows of 'TP53_HUMAN'.*such as P53_HUMAN") as caught:
        labels.match(table("TP53_HUMAN"))
    assert "Did you mean 'P53_HUMAN'? Name it with --protein." in caught.value.hint


def test_numbering_that_is_off_is_found(tmp_path: Path) -> None:
    text = "mutant,score\n" + "".join(f"{w}{i}Y,1\n" for i, w in enumerate(WILD, 1))
    with pytest.raises(DataError, match="None of the 10 rows") as caught:
        read_assay(written(tmp_path / "a.csv", text)).match(table())
    assert "23 is added to their positions" in caught.value.hint
    with pytest.raises(DataError, match="1 another residue than the target's") as caught:
        read_assay(written(tmp_path / "b.csv", "mutant,score\nC26Y,1\n")).match(table())
    assert "numbered alike" in caught.value.hint


def test_columns_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "site\thgvs\tscore\tabundance\nx\tp.Met24Tyr\t1\t7\n")
    assert read_assay(path, column="abundance").values.tolist() == [7]
    assert read_assay(path).values.tolist() == [1]
    assert read_assay(path).proteins is None
    with pytest.raises(DataError, match=r"a column 'abundace'(.|\n)*Did you mean 'abundance'"):
        read_assay(path, column="abundace")
    with pytest.raises(DataError, match="one of the columns pathogenic, label"):
        read_labels(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mutant,score\nM24Y,1\nM24W,high\n", "line 3: expected a number in column 'score', got 'high'"),
        ("mutant,score\nM24Y,inf\n", "line 2: expected a number"),
        ("mutant,score\n,1\n", "line 2: expected a variant"),
        ("mutant,score\n", "at least one measurement, got 0 rows"),
        ("mutant,score\nM24Y,NA\n", "at least one measurement, got 1 rows"),
        ("mutant,score\nM24Y\n", "line 2: expected 2 cells, got 1"),
    ],
)
def test_bad_assays(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_assay(written(tmp_path / "a.csv", text))


def test_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"at least one label that is pathogenic \(1\) or benign"):
        read_labels(written(tmp_path / "a.csv", "variant,label\nM24Y,VUS\n"))


def test_multiples_and_scores_as_typed() -> None:
    scores = np.array([-1.0, NAN])
    both = VariantScores("P", ("M24Y:A27W", "A27del"), ("scored", "indel"), scores, scores, scores)
    labels = Labels("x", None, ("A27W;M24Y", "A27del"), np.array([1.0, 2.0]), clinical=False)
    found = labels.match(both)
    assert found.rows.tolist() == [0]
    assert found.left_out == {"no substitution, or not readable": 1}
