"""Alignments: every format and fault that people meet, EVE's cuts in EVE's order, rows to texts and back."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headwater.data import Codec, Dataset, Schema, inspect, open_dataset
from headwater.data.alignments.info import ALPHABET, Alignment
from headwater.data.alignments.letters import from_codes
from headwater.data.dataset import Dataset as Data
from headwater.data.dataset import Reading
from headwater.data.limits import Limits
from headwater.errors import ConfigError, DataError, UnsafeFileError, UsageError
from headwater.events import Encoding, Segment, Support
from headwater.rng import Rng
from headwater.runs.export import write_samples
from headwater.settings import DataSettings

A2M = ">T/11-18 target\nACDEFGHI\n>a\nACDEFGHK\n>b\nAC--FGHI\n>c\nWCDEFGYY\n"
LATER = [">d\nMMMMKKKK\n", ">e\nPPPPQQQQ\n", ">f\nRRRRSSSS\n"]


def put(tmp_path: Path, text: str | bytes, name: str = "x.a2m") -> Path:
    path = tmp_path / name
    raw = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def opened(data: Any, limits: Limits | None = None, **settings: Any) -> Dataset:
    alone = {name: settings.pop(name) for name in ("skip", "max_rows", "kind", "schema_path") if name in settings}
    given = DataSettings.parse({**alone, "alignment": settings})
    return open_dataset(data, given, limits=limits or Limits())


def texts(data: Dataset) -> list[str]:
    return from_codes(np.asarray(data.storage)).tolist()


def about(data: Dataset) -> Alignment:
    assert data.schema.alignment is not None
    return data.schema.alignment


EVERY = {"column_gaps": 1.0}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.a2m", A2M + "".join(LATER)),
        ("x.fasta", "\ufeff" + A2M.replace("\n", "\r\n") + "\r\n\r\n" + "".join(LATER)),
        ("x.fa.gz", A2M.replace("ACDEFGHK", "ACDE\nFG\n\nHK") + "".join(LATER)),
        ("x.dat", A2M + "".join(LATER)),
        ("x.txt", A2M + "".join(LATER)),
        ("x.gz", "\n" + A2M + "".join(LATER)),
        ("x.a3m", "#8\t1\n" + A2M.replace("ACDEFGHK", "ACkkDEFGlHKm") + "".join(LATER)),
        ("x.fasta", A2M.replace("ACDEFGHK", "ACkkDEFGlHKm") + "".join(LATER)),
    ],
    ids=["a2m", "bom and crlf", "wrapped, gzipped", "by content", "text", "gzipped by content", "a3m", "a3m as fasta"],
)
def test_fasta_and_its_kin(tmp_path: Path, name: str, text: str) -> None:
    data = opened(put(tmp_path, text, name), **EVERY)
    assert data.schema.kind == "alignment"
    assert texts(data)[:4] == ["ACDEFGHI", "ACDEFGHK", "AC--FGHI", "WCDEFGYY"]
    assert len(data) == 7
    found = about(data)
    assert (found.name, found.start, found.sequence) == ("T", 11, "ACDEFGHI")
    assert found.positions == tuple(range(11, 19))
    assert found.wild_type == "ACDEFGHI"
    assert data.schema.columns[0].gap


STOCKHOLM = """# STOCKHOLM 1.0
#=GF ID   family
#=GS T/11-18 AC  P1

T/11-18         ACDE
#=GR T/11-18 SS HHHH
a               ACDE
a               AC_~
c               WCDE
d               MMMM
#=GC RF         xxxx

T/11-18         FGHI
a               FGHK
a               FGHI
c               FG.Y
d               KKKK
#=GC RF         xxxx
//
"""


@pytest.mark.parametrize("name", ["x.sto", "x.stk.gz", "x", "x.fasta"])
def test_stockholm_in_blocks_keeps_rows_of_one_name_apart(tmp_path: Path, name: str) -> None:
    data = opened(put(tmp_path, STOCKHOLM, name), **EVERY)
    assert texts(data) == ["ACDEFGHI", "ACDEFGHK", "AC--FGHI", "WCDEFG-Y", "MMMMKKKK"]
    assert about(data).positions == tuple(range(11, 19))
    assert any("holds Stockholm" in note for note in data.notes) == (name == "x.fasta")
    assert any("name of an earlier one" in note for note in data.notes)


def test_stockholm_of_one_block(tmp_path: Path) -> None:
    rows = [text for text in A2M.splitlines() if not text.startswith(">")] + ["MMMMKKKK", "PPPPQQQQ"]
    lines = "".join(f"s{i}  {row}\n" for i, row in enumerate(rows))
    assert texts(opened(put(tmp_path, f"# STOCKHOLM 1.0\n{lines}//\n", "x.sto"), **EVERY)) == rows
    data = opened(put(tmp_path, f"# STOCKHOLM 1.0\n{lines}", "x.sto"), **EVERY)
    assert sum("does not end with '//'" in warning for warning in data.warnings) == 1


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("", "x.a2m", "holds no records"),
        ("\n\n", "x.sto", "holds no records"),
        ("# STOCKHOLM 1.0\n//\n", "x.sto", "holds no records"),
        (";only a comment\n", "x.fasta", "holds no records"),
        (">T\nACDE\n", "x.a2m", "an alignment of one sequence cannot be learned from"),
        ("T ACDE\na ACDF\n", "x.sto", "line 1: a Stockholm file begins with"),
        ("#=GF ID x\nT ACDE\n", "x.fasta", "line 1: a Stockholm file begins with"),
        ("T ACDE\na ACDF\n", "x.fasta", "line 1: expected '>' and a name"),
        ("CLUSTAL W\n\nT ACDE\n", "x.fasta", "a format that is not read"),
        (STOCKHOLM + STOCKHOLM, "x.sto", "line 20: a second alignment begins"),
        (STOCKHOLM.replace("c               FG.Y\n", ""), "x.sto", "row 4 of block 2 should be 'c', got 'd'"),
        ("# STOCKHOLM 1.0\nT\n//\n", "x.sto", "line 2: expected a name and its residues"),
        (b">T\nACDE\n>a\nAC\0E\n", "x.a2m", "holds binary data"),
        (b">T\n\n>a\nACDE\n", "x.a2m", "the focus 'T' is an empty sequence"),
        (">T\n----\n>a\nACDE\n", "x.a2m", "the focus 'T' has no residues"),
        (">T\nAC1E\n>a\nACDE\n", "x.a2m", "the focus 'T' has '1' in column 3; it is no residue"),
        (b"\x1f\x8b\x08\0truncated", "x.a2m", "cannot be read"),
        (gzip.compress(A2M.encode() * 99)[:-20], "x.a2m", "cannot be read"),
    ],
)
def test_what_is_no_alignment_is_said_so(tmp_path: Path, text: str | bytes, name: str, expected: str) -> None:
    with pytest.raises(DataError) as caught:
        opened(put(tmp_path, text, name))
    assert expected in caught.value.message


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (">bad\nACDEFGH\n", "line 9: bad has 7 columns, the focus has 8"),
        (">bad\nACDEFGHIK\n", "line 9: bad has 9 columns, the focus has 8"),
        (">bad\nACD1FGHI\n", "line 9: bad has '1' in column 4, which is no residue"),
        (">bad\nACDEFGH*\n", "line 9: bad has '*' in column 8, which is no residue"),
        (">bad\n", "line 9: bad is an empty sequence"),
        (">bad\nACDEF# STOCKHOLM\n", "columns, the focus has 8"),
        (">\nAC\n", "line 9:  has 2 columns"),
    ],
)
def test_each_record_that_does_not_fit_is_named_and_counted(tmp_path: Path, record: str, expected: str) -> None:
    path = put(tmp_path, A2M + record + "".join(LATER))
    with pytest.raises(DataError, match="1 of 8 records do not fit") as caught:
        opened(path, **EVERY)
    assert expected in caught.value.message
    data = opened(path, skip=0.2, **EVERY)
    assert len(data) == 7
    assert expected in f"{data.skipped[0].record} {data.skipped[0].reason}"
    assert about(data).dropped == {"sequences_unreadable": 1}
    assert any("1 of 8 records do not fit and were skipped" in warning for warning in data.warnings)


@pytest.mark.parametrize(
    ("wanted", "name", "text"), [("stockholm", "x.fa", A2M), ("fasta", "x.sto", STOCKHOLM), ("a2m", "x.sto", STOCKHOLM)]
)
def test_a_format_that_was_said_must_be_so(tmp_path: Path, wanted: str, name: str, text: str) -> None:
    with pytest.raises(DataError, match=f"expected {wanted}, got"):
        opened(put(tmp_path, text, name), format=wanted)


CASES = ">T/5-10\nacD.EFG\n>a\nACDkEFG\n>b\nAc-.EFG\n>c\nWWW.WWW\n>d\nYYY.YYY\n>e\nVVV.VVV\n"


def test_a2m_columns_in_any_case_or_upper_case_only(tmp_path: Path) -> None:
    path = put(tmp_path, CASES)
    every = opened(path, **EVERY)
    assert texts(every)[:3] == ["ACDEFG", "ACDEFG", "AC-EFG"]
    assert about(every).positions == (5, 6, 7, 8, 9, 10)
    assert about(every).dropped == {"columns_insertions": 1}
    upper = opened(path, columns="upper", **EVERY)
    assert texts(upper)[:3] == ["DEFG", "DEFG", "-EFG"]
    assert about(upper).positions == (7, 8, 9, 10)
    assert about(upper).sequence == "ACDEFG"
    assert about(upper).dropped == {"columns_insertions": 1, "columns_lower_case": 2}
    with pytest.raises(DataError, match="no known residue in upper case"):
        opened(put(tmp_path, CASES.replace("acD.EFG", "acd.efg")), columns="upper")


def test_a3m_numbers_positions_by_all_residues_of_the_target(tmp_path: Path) -> None:
    text = ">T/5-10\nACkkD-E\n>a\nACwDFE\n>b\nACDFK\n>c\nWWWWW\n>d\nYYYYY\n"
    data = opened(put(tmp_path, text, "x.a3m"), **EVERY)
    assert texts(data) == ["ACDE", "ACDE", "ACDK", "WWWW", "YYYY"]
    assert about(data).sequence == "ACKKDE"
    assert about(data).positions == (5, 6, 9, 10)
    assert about(data).dropped == {"columns_insertions": 1, "columns_lower_case": 2}
    assert any("insertions (lower case)" in note for note in data.notes)


def test_the_focus_by_name(tmp_path: Path) -> None:
    path = put(tmp_path, A2M.replace(">c", ">Q/3-10") + "".join(LATER))
    for name in ("Q", "Q/3-10"):
        data = opened(path, focus=name, **EVERY)
        assert (about(data).name, about(data).start, about(data).wild_type) == ("Q", 3, "WCDEFGYY")
        assert 3 in data.splits["train"]
    with pytest.raises(DataError, match="no sequence 'T/11-19'") as caught:
        opened(path, focus="T/11-19")
    assert "T/11-18" in caught.value.hint


def test_eves_cuts_in_eves_order(tmp_path: Path) -> None:
    """Fragments go before columns are judged, columns before unknown residues are."""
    rows = {
        "T": "ACDEFGHIKL",
        "half": "ACDEF-----",  # half gaps: kept
        "mostly": "ACDE------",  # more: dropped, so that it does not count against columns
        "x": "ACDEFGHIKX",  # unknown in a column that is not modelled: kept
        "b": "ABDEFGHIK-",  # unknown in a modelled one: dropped
        "p": "WWWWWWWWW-",
        "q": "YYYYYYYYYY",
        "r": "VVVVVVVVV-",
    }
    path = put(tmp_path, "".join(f">{name}\n{row}\n" for name, row in rows.items()))
    data = opened(path, column_gaps=0.4)
    assert about(data).positions == tuple(range(1, 10))
    assert about(data).dropped == {
        "columns_gaps": 1,
        "sequences_fragments": 1,
        "sequences_unknown_residue": 1,
    }
    assert texts(data) == ["ACDEFGHIK", "ACDEF----", "ACDEFGHIK", "WWWWWWWWW", "YYYYYYYYY", "VVVVVVVVV"]
    assert any("--set data.alignment.column_gaps=1" in note for note in data.notes)
    kept = opened(path, column_gaps=0.4, unknown="gap")
    assert texts(kept)[3] == "A-DEFGHIK"
    assert about(opened(path, fragments=0.6, column_gaps=1.0)).dropped == {"sequences_unknown_residue": 2}


def test_unknown_residues_of_the_target_are_not_modelled(tmp_path: Path) -> None:
    data = opened(put(tmp_path, A2M.replace("\nACDEFGHI", "\nAXDEFGHI", 1) + "".join(LATER)), **EVERY)
    assert about(data).positions == (11, 13, 14, 15, 16, 17, 18)
    assert about(data).sequence[1] == "X"
    assert about(data).dropped == {"columns_unknown_residue": 1}


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    path = put(tmp_path, ">T\nACDE\n>a\nA---\n>b\n---C\n")
    with pytest.raises(DataError, match="1 of 3 sequences are left: 2 have more gaps"):
        opened(path)
    with pytest.raises(DataError, match="no column is left") as caught:
        opened(path, fragments=1.0, column_gaps=0.1)
    assert "column_gaps=1" in caught.value.hint
    with pytest.raises(DataError, match="have an unknown residue"):
        opened(put(tmp_path, ">T\nACDE\n>a\nXCDE\n>b\nABDE\n"))
    with pytest.raises(DataError, match="at least 3 different sequences"):
        opened(put(tmp_path, ">T\nACDE\n>a\nACDF\n"))
    with pytest.raises(ConfigError, match="theta"):
        opened(path, theta=1.5)


def test_a_range_that_does_not_fit_and_shallow_depth_are_warned_of(tmp_path: Path) -> None:
    data = opened(put(tmp_path, A2M.replace("11-18", "11-20") + "".join(LATER)), **EVERY)
    assert any("the range has 10 residues, the sequence 8" in warning for warning in data.warnings)
    assert any("shallow alignment" in warning for warning in data.warnings)
    rng = np.random.default_rng(0)
    deep = {f"s{i}": "".join(rng.choice(list(ALPHABET), 6)) for i in range(60)}
    assert not opened(deep).warnings


def test_texts_from_python() -> None:
    rows = ["ACDEFGHI", "ACDEFGHK", "AC--FGHI", "MMMMKKKK", "PPPPQQQQ"]
    for data in (rows, np.array(rows), {f"s{i}": row for i, row in enumerate(rows)}):
        assert texts(opened(data, **EVERY)) == rows
    with pytest.raises(DataError, match="expected a text of residues, got int"):
        opened({"a": "ACDE", "b": 3})


def test_gzip_bombs_and_endless_lines_are_refused(tmp_path: Path) -> None:
    path = put(tmp_path, b">T\n" + b"A" * 70_000_000, "x.a2m.gz")
    with pytest.raises(UnsafeFileError, match="unpacks to more than 200 times"):
        opened(path, Limits(elements=100_000_000))
    with pytest.raises(DataError, match="elements"):
        opened(put(tmp_path, b">T\n" + b"A" * 3_000_000), Limits(elements=1_000_000))
    with pytest.raises(DataError, match="elements"):
        opened(put(tmp_path, b">T\n" + (b"A" * 999 + b"\n") * 3_000), Limits(elements=1_000_000))
    with pytest.raises(DataError, match="rows"):
        opened(put(tmp_path, A2M), Limits(rows=3))


def simulated(tmp_path: Path, n: int, length: int) -> Path:
    rng = np.random.default_rng(0)
    letters = np.frombuffer((ALPHABET + "-").encode(), dtype=np.uint8)
    path = tmp_path / "large.a2m"
    with path.open("wb") as file:
        for i in range(n):
            file.write(b">s%d\n" % i + letters[rng.integers(0, 20 if i == 0 else 21, length)].tobytes() + b"\n")
    return path


def test_memory_is_that_of_the_rows_and_a_piece(tmp_path: Path) -> None:
    path = simulated(tmp_path, 5_000, 500)
    tracemalloc.start()
    data = opened(path, weights="none")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(data) == 5_000
    assert data.storage.dtype == np.uint8
    assert peak < 60_000_000  # rows take 2.5 MB, pieces of them and their tiles the rest, whatever their number


def test_max_rows(tmp_path: Path) -> None:
    assert len(opened(put(tmp_path, A2M + "".join(LATER)), max_rows=5, **EVERY)) == 5


@pytest.fixture
def family(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(3)
    rows = ["ACDEFGHI", *("".join(rng.choice(list(ALPHABET + "-"), 8)) for _ in range(60))]
    text = "".join(f">T/11-18\n{row}\n" for row in rows)
    return opened(put(tmp_path, text), column_gaps=1.0)


def test_native_events_are_codes_with_a_class_for_gaps(family: Dataset) -> None:
    codec = Codec.fit(family, Encoding.NATIVE)
    assert codec.event.shape == (8,)
    assert codec.event.segments == (Segment(support=Support.CATEGORICAL, size=8, classes=21, missing=True),)
    raw, _ = family.rows(np.arange(10))
    assert raw.dtype == torch.uint8
    x, ladj = codec.encode(raw, Rng.of(0, 10))
    assert torch.equal(x, raw.float())
    assert not ladj.any()
    assert torch.equal(codec.decode(x), raw)
    again = Codec.from_json(codec.to_json())
    assert again.event == codec.event
    assert again.schema == family.schema
    assert torch.equal(again.decode(x), raw)


@pytest.mark.parametrize("encoding", [Encoding.REAL, Encoding.SCALED, Encoding.SUPPORTED])
@pytest.mark.parametrize("categorical", ["embed", "order"])
def test_elsewhere_the_gap_is_one_more_category(family: Dataset, encoding: Encoding, categorical: str) -> None:
    family.settings = family.settings.model_copy(update={"categorical": categorical})
    codec = Codec.fit(family, encoding)
    raw, _ = family.rows(np.arange(len(family)))
    x, _ = codec.encode(raw, Rng.of(0, len(raw)))
    assert torch.equal(codec.decode(x), raw)


def test_texts_and_files_of_the_same_target(family: Dataset, tmp_path: Path) -> None:
    codec = Codec.fit(family, Encoding.NATIVE)
    raw, _ = family.rows(np.arange(6))
    rows = codec.to_user(raw)
    assert rows.tolist()[0] == "ACDEFGHI"
    for given in (rows, rows.tolist(), tuple(rows.tolist()), rows.astype(object), raw, raw.numpy()):
        assert torch.equal(codec.from_user(given)[0], raw)
    assert codec.from_user(["acdefgh.", "XCDEFGHI"])[0].tolist()[1][0] == 20
    wide = put(tmp_path, ">T/9-20\nMMACDEFG-HIKK\n>a\nWWacDXFGaHKWW\n", "wide.fasta")
    assert codec.to_user(codec.from_user(wide)[0]).tolist() == ["ACDEFGHI", "ACD-FGHK"]
    bare = put(tmp_path, ">1\n--------\n", "bare.fasta")
    assert codec.to_user(codec.from_user(str(bare))[0]).tolist() == ["--------"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["ACDEFGH"], "Sequence 0: expected 8 letters"),
        (["ACDEFGHI", "AC1EFGHI"], "Sequence 1: 'AC1EFGHI' has no residue at position 13"),
        (np.zeros((2, 7)), r"Expected codes of shape (n, 8), got (2, 7)"),
        (np.full((2, 8), 21), "Expected codes 0 .. 20, got 21 .. 21"),
        (np.full((2, 8), 0.5), "Expected whole codes"),
        (["ACDEFGHI", 3], "expected a text of residues, got int"),
    ],
)
def test_what_does_not_fit_the_target_is_named(family: Dataset, value: Any, expected: str) -> None:
    value = np.array(value, dtype=object) if isinstance(value, list) and 3 in value else value
    with pytest.raises(DataError) as caught:
        Codec.fit(family, Encoding.NATIVE).from_user(value)
    assert expected in caught.value.message


def test_a_file_of_another_target_is_refused(family: Dataset, tmp_path: Path) -> None:
    codec = Codec.fit(family, Encoding.NATIVE)
    with pytest.raises(DataError, match="has W at position 13 where T has D"):
        codec.from_user(put(tmp_path, ">T/11-19\nACWEFGHIK\n>b\nACDEFGHIK\n", "o.fasta"))
    with pytest.raises(DataError, match="1 of 3 records cannot be read; the first: line 3: b has 3 columns"):
        codec.from_user(put(tmp_path, ">T/11-18\nACDEFGHI\n>b\nACD\n>c\nACDEFGHI\n", "o.fasta"))


def test_more_sequences_by_a_schema(tmp_path: Path) -> None:
    gappy = A2M.replace(">c\nWCDEFGYY", ">c\nWC--FGYY") + "".join(LATER)
    first = opened(put(tmp_path, gappy), column_gaps=0.2)
    assert about(first).positions == (11, 12, 15, 16, 17, 18)
    first.schema.write(tmp_path / "schema.json")
    assert Schema.read(tmp_path / "schema.json") == first.schema
    more = put(tmp_path, A2M + ">z\nYYYYYYYY\n" + "".join(LATER), "more.a2m")
    second = opened(more, schema_path=str(tmp_path / "schema.json"))
    assert about(second).positions == about(first).positions
    assert (len(second), about(second).sequences) == (8, 8)


def test_weights_are_part_of_what_the_data_is(family: Dataset) -> None:
    assert family.weights is not None
    assert family.weights.dtype == np.float64
    assert about(family).neff == pytest.approx(family.weights.sum())
    reading = Reading(family.schema, family.storage, weights=family.weights)
    made = Data(reading, family.hashes, family.splits, family.settings)
    assert made.fingerprint == family.fingerprint
    reading.weights = family.weights * 0.5
    assert Data(reading, family.hashes, family.splits, family.settings).fingerprint != family.fingerprint
    for wrong in (family.weights[:-1], -family.weights, family.weights * np.nan, family.weights * 0):
        reading.weights = wrong
        with pytest.raises(DataError, match="weights"):
            Data(reading, family.hashes, family.splits, family.settings)


def test_inspection_tells_target_depth_and_what_was_left_out(tmp_path: Path) -> None:
    text = A2M.replace("ACDEFGHK", "ACDEFGHX") + ">c\nAC--FGHI\n>d\n-C--FGHI\n" + "".join(LATER)
    found = inspect(put(tmp_path, text))
    told = str(found)
    assert "target T: 8 residues 11 .. 18, 6 modelled: 11-12, 15-18" in told
    assert "2 columns (gaps)" in told
    assert "1 sequences (unknown residue)" in told
    assert "depth Neff/L" in told
    plain = found.to_json()["alignment"]
    assert plain["dropped"] == {"columns_gaps": 2, "sequences_unknown_residue": 1}
    assert sum(plain["effective"].values()) <= plain["neff"] + 1e-9
    assert inspect(np.zeros((9, 2)) + np.arange(9)[:, None]).to_json()["alignment"] is None


def test_samples_are_written_as_fasta_with_their_recipe(tmp_path: Path) -> None:
    rows = np.array(["AC-E", "WWWW"])
    path = write_samples(None, rows, tmp_path / "s.fasta", recipe={"seed": 1})  # type: ignore[arg-type]
    assert path.read_text() == ">sample_000000\nAC-E\n>sample_000001\nWWWW\n"
    assert '"seed": 1' in (tmp_path / "s.fasta.json").read_text()
    write_samples(None, rows, tmp_path / "s.csv", recipe={})  # type: ignore[arg-type]
    assert (tmp_path / "s.csv").read_text() == "sequence\nAC-E\nWWWW\n"
    with pytest.raises(UsageError, match="Only sequences"):
        write_samples(None, np.zeros((2, 2)), tmp_path / "t.fasta", recipe={})  # type: ignore[arg-type]


def test_a_schema_of_an_alignment_is_checked() -> None:
    with pytest.raises(ConfigError, match="field 'alignment'"):
        Schema.from_json({"kind": "alignment", "shape": [3], "dtype": "uint8"})
    with pytest.raises(ConfigError, match="last category is the gap"):
        Schema.from_json({"kind": "table", "shape": [1], "columns": [{"name": "a", "type": "real", "gap": True}]})
    good = {"name": "T", "sequence": "ACD", "positions": [1, 2], "sequences": 3, "neff": 2.0}
    for wrong in ({"positions": [2, 1]}, {"positions": [1, 4]}, {"positions": []}, {"sequence": ""}):
        with pytest.raises(ConfigError):
            Alignment.parse({**good, **wrong})
    assert Alignment.parse(good).depth == 1.0
