"""Tables: every fault of CSV and Parquet that people meet, types found, missing values, the same frame back."""

# ruff: noqa: DTZ001 - moments without a zone are what files hold

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from headwater.data import Codec, Dataset, open_dataset
from headwater.data.limits import Limits
from headwater.errors import ConfigError, DataError, MissingExtraError
from headwater.events import Encoding, Support
from headwater.rng import Rng
from headwater.settings import DataSettings


def csv(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def opened(path: Any, **settings: Any) -> Dataset:
    return open_dataset(path, DataSettings(**settings))


def names(data: Dataset) -> list[str]:
    return [column.name for column in data.schema.columns]


def rows(n: int, line: str = "{i},{x},b{j}") -> str:
    return "\n".join(line.format(i=i % 7, x=i / 8, j=i % 3) for i in range(n)) + "\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffa,x,c\n" + rows(40), ["a", "x", "c"]),
        ("a;x;c\n" + rows(40).replace(",", ";"), ["a", "x", "c"]),
        ("a\tx\tc\n" + rows(40).replace(",", "\t"), ["a", "x", "c"]),
        (rows(40), ["col_0", "col_1", "col_2"]),
        ("a,a,c\n" + rows(40), ["a", "a_2", "c"]),
        (",x,c\n" + rows(40), ["col_0", "x", "c"]),
        ("a,x,c\r\n" + rows(40).replace("\n", "\r\n") + "\r\n\r\n", ["a", "x", "c"]),
    ],
    ids=["bom", "semicolon", "tab", "no header", "twice", "no name", "crlf"],
)
def test_layouts_of_csv_are_found_out(tmp_path: Path, text: str, expected: list[str]) -> None:
    data = opened(csv(tmp_path, text))
    assert names(data) == expected
    assert len(data) == 40
    assert [column.type for column in data.schema.columns] == ["integer", "real", "categorical"]
    assert np.array_equal(data.storage[:, 1], np.arange(40) / 8)


def test_latin_1_quoted_newlines_and_spaces(tmp_path: Path) -> None:
    text = 'name, x\n"caf\xe9, ""noir""\n2", 1.5\n' + "the, 2.5\nthe, 3.5\n" * 30
    data = opened(csv(tmp_path, text.encode("latin-1")))
    assert data.schema.column("name").categories == ('caf\xe9, "noir"\n2', "the")
    assert any("Latin-1" in note for note in data.notes)


def test_ragged_records_are_named_by_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 3 has 2 fields, 3 are expected") as caught:
        opened(csv(tmp_path, "a,b,c\n1,2,3\n1,2\n" + rows(10)))
    assert "data.skip" in caught.value.hint
    text = 'a,b,c\n1,"2\n\n",3\n4,5,6,7\n' + rows(100)
    data = opened(csv(tmp_path, text), columns={"b": {"type": "drop"}})
    assert data.skipped[0].record == "line 5"
    assert any("line 5 has 4 fields" in warning for warning in data.warnings)


def test_an_unclosed_quote_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line \d+"):
        opened(csv(tmp_path, "a,b\n1,2\n" + '3,"4\n' + "5,6\n" * 60_000))


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "a,b\n1,2\n"])
def test_too_few_rows_are_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError):
        opened(csv(tmp_path, text))


def test_binary_data_with_a_csv_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="binary"):
        opened(csv(tmp_path, b"a,b\n1,\0\n"))


def test_an_empty_column_is_left_out_and_restored(tmp_path: Path) -> None:
    data = opened(csv(tmp_path, "a,none,x\n" + "".join(f"{i % 4},,{i / 3}\n" for i in range(50))))
    codec = Codec.fit(data, Encoding.REAL)
    assert any("'none' has no values" in warning for warning in data.warnings)
    raw, _ = data.rows(np.arange(50))
    x, _ = codec.encode(raw, Rng.of(0, 50))
    assert x.shape[1] == 2
    frame = codec.to_user(codec.decode(x))
    assert frame["none"].null_count() == 50


def test_texts_among_numbers_are_named_with_line_and_remedy(tmp_path: Path) -> None:
    text = "x\n" + "\n".join(str(i * 1.5) for i in range(300)) + "\nabc\n"
    path = csv(tmp_path, text)
    with pytest.raises(DataError, match=r"line 302: 'abc' is no number; 300 of 301") as caught:
        opened(path)
    assert "missing_tokens" in caught.value.hint
    data = opened(path, columns={"x": {"missing_tokens": ["abc"]}})
    assert np.isnan(data.storage[-1, 0])
    assert data.schema.column("x").missing


def test_missing_texts_are_said(tmp_path: Path) -> None:
    text = "a,b\n" + "1.5,u\n?,v\n , NA\n2.25,u\n" * 10
    data = opened(csv(tmp_path, text))
    assert int(np.isnan(data.storage[:, 0]).sum()) == 20
    assert int(np.isnan(data.storage[:, 1]).sum()) == 10
    assert any("'?' is read as missing" in note for note in data.notes)


@pytest.mark.parametrize("value", ["inf", "-Infinity", "1e999"])
def test_infinity_is_named_by_row_and_column(tmp_path: Path, value: str) -> None:
    path = csv(tmp_path, "a,b\n" + "1.5,2.5\n3.5,4.5\n" * 10 + f"1.5,{value}\n")
    with pytest.raises(DataError, match=r"column 'b', row 20 \(line 22\)"):
        opened(path)


def test_an_outlier_keeps_everything_finite(tmp_path: Path) -> None:
    values = np.append(np.random.default_rng(0).standard_normal(500), [1e30, 5e-324])
    data = opened(pl.DataFrame({"x": values}))
    for encoding in Encoding:
        codec = Codec.fit(data, encoding)
        x, ladj = codec.encode(torch.from_numpy(values)[:, None], Rng.of(0, 502))
        assert x.abs().max() < 80
        assert torch.isfinite(ladj).all()


def test_identifiers_are_dropped_and_can_be_kept() -> None:
    n = 2000
    frame = pl.DataFrame(
        {
            "id": range(n),
            "name": [f"person {i}" for i in range(n)],
            "x": np.arange(n) % 9 * 1.25,
            "big": np.arange(n) ** 2,
        }
    )
    data = opened(frame)
    assert [column.name for column in data.schema.kept] == ["x"]
    assert sum("left out" in warning for warning in data.warnings) == 3
    kept = opened(frame, columns={"id": {"type": "integer"}})
    assert [column.name for column in kept.schema.kept] == ["id", "x"]


def test_limits_name_the_count(tmp_path: Path) -> None:
    path = csv(tmp_path, ",".join(f"c{i}" for i in range(5_001)) + "\n" + ",".join("1" for _ in range(5_001)) + "\n")
    with pytest.raises(DataError, match="5001 columns; at most 5000"):
        opened(path)
    with pytest.raises(DataError, match="5001 columns; at most 30"):
        open_dataset(path, limits=Limits(columns=30))


def test_many_columns_are_handled(tmp_path: Path) -> None:
    width = 5_000
    draws = np.random.default_rng(0).integers(0, 4, (12, width))
    text = ",".join(f"c{i}" for i in range(width)) + "\n" + "\n".join(",".join(map(str, row)) for row in draws)
    data = opened(csv(tmp_path, text), columns={"c0": {"type": "drop"}})
    codec = Codec.fit(data, Encoding.REAL)
    raw, _ = data.rows(np.arange(12))
    x, _ = codec.encode(raw, Rng.of(0, 12))
    assert torch.equal(codec.decode(x), raw)
    assert len(codec.parts) < 300


def mixed(n: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "age": rng.integers(17, 90, n),
        "income": [None if i % 11 == 0 else round(float(v), 2) for i, v in enumerate(rng.lognormal(8, 1, n))],
        "job": [None if i % 13 == 0 else ["cook", "smith", "clerk", "baker"][i % 4] for i in range(n)],
        "flag": rng.random(n) < 0.3,
        "born": [dt.date(1950, 1, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 20_000, n)],
        "seen": [dt.datetime(2024, 1, 1) + dt.timedelta(seconds=int(s)) for s in rng.integers(0, 10**6, n)],
        "same": [4.5] * n,
        "score": rng.standard_normal(n).astype(np.float32),
    }


FRAMES = {"polars": pl.DataFrame, "pandas": pd.DataFrame, "pyarrow": pa.table}


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("encoding", list(Encoding))
def test_frames_come_back_as_they_went_in(library: str, encoding: Encoding) -> None:
    frame = FRAMES[library](mixed())
    data = opened(frame)
    codec = Codec.fit(data, encoding).double()
    raw, labels = codec.from_user(frame)
    assert labels is None
    assert torch.equal(raw.nan_to_num(-1e9), data.rows(np.arange(300))[0].nan_to_num(-1e9))
    x, ladj = codec.encode(raw, Rng.of(0, 300))
    assert x.dtype == torch.float64
    assert torch.isfinite(ladj).all()
    back = codec.to_user(codec.decode(x))
    assert type(back) is type(frame)
    was, now = (pl.DataFrame(v) if library != "polars" else v for v in (frame, back))
    assert was.columns == now.columns
    for name in ("age", "income", "job", "flag", "same"):
        assert was[name].to_list() == now[name].to_list(), name
    assert [str(v)[:19] for v in was["seen"]] == [str(v)[:19] for v in now["seen"]]
    assert [str(v)[:10] for v in was["born"]] == [str(v)[:10] for v in now["born"]]
    assert np.allclose(was["score"].to_numpy(), now["score"].to_numpy(), atol=1e-6)


def test_types_and_native_supports() -> None:
    data = opened(pl.DataFrame(mixed()))
    types = {column.name: column.type for column in data.schema.columns}
    assert types == {
        "age": "integer", "income": "real", "job": "categorical", "flag": "binary", "born": "datetime",
        "seen": "datetime", "same": "constant", "score": "real",
    }  # fmt: skip
    assert data.schema.column("born").step == 86_400
    assert data.schema.column("seen").step == 1
    assert data.schema.column("income").decimals == 2
    segments = {segment.name: segment for segment in Codec.fit(data, Encoding.NATIVE).event.segments}
    assert segments["age"].support is Support.INTEGER
    assert segments["job"].classes == 5  # four jobs and "missing"
    assert segments["flag"].support is Support.BINARY
    assert segments["income is missing"].support is Support.BINARY
    assert segments["born"].support is Support.REAL
    assert "same" not in segments


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("categorical", ["embed", "order"])
def test_a_codec_travels_through_json_and_keeps_its_maps(encoding: Encoding, categorical: str) -> None:
    import json

    data = opened(pl.DataFrame(mixed()), categorical=categorical, label="job")
    codec = Codec.fit(data, encoding)
    again = Codec.from_json(json.loads(json.dumps(codec.to_json(), allow_nan=False)))
    raw, labels = data.rows(np.arange(50))
    x, ladj = codec.encode(raw, Rng.of(0, 50))
    y, same = again.encode(raw, Rng.of(0, 50))
    assert torch.equal(x, y)
    assert torch.equal(ladj, same)
    assert x.dtype == torch.float32
    assert again.event == codec.event
    assert again.context == codec.context
    assert torch.equal(again.encode_context(labels, 50), codec.encode_context(labels, 50))


def test_encoding_is_a_function_of_the_row_alone() -> None:
    data = opened(pl.DataFrame(mixed()))
    codec = Codec.fit(data, Encoding.REAL)
    raw, _ = data.rows(np.arange(64))
    x, ladj = codec.encode(raw, Rng.of(0, 64))
    y, part = codec.encode(raw[10:20], Rng.of(0, 10, start=10))
    assert torch.equal(x[10:20], y)
    assert torch.equal(ladj[10:20], part)


def test_the_codec_is_fitted_to_training_rows_only() -> None:
    frame = pl.DataFrame(mixed())
    data = opened(frame)
    other = opened(frame)
    other.storage = np.array(other.storage)
    held = np.concatenate([other.splits["valid"], other.splits["test"]])
    other.storage[held] = other.storage[held[::-1]]
    for encoding in Encoding:
        assert Codec.fit(data, encoding).to_json() == Codec.fit(other, encoding).to_json()


def test_labels_leave_the_event_and_become_context() -> None:
    data = opened(pl.DataFrame(mixed()), label="job")
    assert "job" not in names(data)
    codec = Codec.fit(data, Encoding.REAL)
    assert codec.context.classes == ("baker", "clerk", "cook", "smith")
    context = codec.encode_context(torch.tensor([2, -1, 0]), 3)
    assert context is not None
    assert context.tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert codec.encode_context(None, 2) is not None
    with pytest.raises(DataError, match="labels"):
        codec.encode_context(torch.tensor([4]), 1)
    assert Codec.fit(data, Encoding.REAL, condition=False).encode_context(None, 3) is None
    back = codec.to_user(data.rows(np.arange(3))[0], torch.tensor([2, 0, 1]))
    assert back["job"].to_list() == ["cook", "baker", "clerk"]


def test_a_number_as_label_is_standardized() -> None:
    data = opened(pl.DataFrame(mixed()), label="score")
    codec = Codec.fit(data, Encoding.REAL)
    assert codec.context.size == 2
    _, labels = data.rows(data.splits["train"])
    assert labels is not None
    context = codec.encode_context(labels, len(labels))
    assert context is not None
    assert abs(float(context[:, 0].mean())) < 1e-5
    assert (context[:, 1] == 1).all()


def test_unseen_categories_are_errors_or_other() -> None:
    frame = pl.DataFrame({"c": ["u", "v", "w"] * 20, "x": np.arange(60) / 7})
    new = pl.DataFrame({"c": ["u", "new"], "x": [0.1, 0.2]})
    codec = Codec.fit(opened(frame), Encoding.REAL)
    with pytest.raises(DataError, match="Column 'c', row 1: 'new'") as caught:
        codec.from_user(new)
    assert "unknown=other" in caught.value.hint
    lenient = Codec.fit(opened(frame, columns={"c": {"unknown": "other"}}), Encoding.REAL)
    raw, _ = lenient.from_user(new)
    x, ladj = lenient.encode(raw, Rng.of(0, 2))
    assert torch.isfinite(ladj).all()
    assert lenient.to_user(lenient.decode(x))["c"].to_list() == ["u", "other"]


@pytest.mark.parametrize(
    ("column", "value", "match"),
    [
        ("x", None, "row 1 is missing"),
        ("x", float("inf"), "row 1"),
        ("k", 99, "row 1 is 99, which is not among"),
        ("k", 1.5, "row 1 is 1.5"),
        ("same", 8.0, "is not 7"),
        ("positive", -1.0, "is not positive"),
        ("inside", 1.5, "outside 0 .. 1"),
    ],
)
def test_values_that_do_not_fit_are_named(column: str, value: Any, match: str) -> None:
    n = 60
    base = {"x": np.arange(n) / 7, "k": np.arange(n) % 5, "same": [7.0] * n}
    base |= {"positive": np.arange(1, n + 1) / 3, "inside": np.linspace(0, 1, n) ** 2}
    settings = {"positive": {"type": "positive"}, "inside": {"type": "interval", "low": 0.0, "high": 1.0}}
    codec = Codec.fit(opened(pl.DataFrame(base), columns=settings), Encoding.NATIVE)
    wrong = {name: [float(v) for v in list(values)[:2]] for name, values in base.items()}
    wrong[column][1] = value
    with pytest.raises(DataError, match=match) as caught:
        codec.from_user(pl.DataFrame(wrong, strict=False))
    assert repr(column) in str(caught.value)


def test_a_missing_column_is_named_with_the_nearest() -> None:
    codec = Codec.fit(opened(pl.DataFrame(mixed())), Encoding.REAL)
    with pytest.raises(DataError, match="no column 'age'") as caught:
        codec.from_user(pl.DataFrame(mixed()).rename({"age": "agee"}))
    assert "agee" in caught.value.hint


def test_overrides_are_checked_field_by_field() -> None:
    frame = pl.DataFrame(mixed())
    with pytest.raises(ConfigError, match="typ") as caught:
        opened(frame, columns={"age": {"typ": "real"}})
    assert "type" in caught.value.hint
    with pytest.raises(DataError, match="no column 'agee'"):
        opened(frame, columns={"agee": {"type": "real"}})
    with pytest.raises(DataError, match="label column"):
        opened(frame, label="jab")
    ordinal = opened(frame, columns={"job": {"type": "ordinal", "categories": ["cook", "baker", "clerk", "smith"]}})
    codes = [segment for segment in Codec.fit(ordinal, Encoding.NATIVE).event.segments if segment.name == "job"]
    assert codes[0].cardinality in (4, 5)


def test_parquet_unsupported_columns_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    n = 60
    path = tmp_path / "t.parquet"
    frame = pl.DataFrame(
        {
            "nested": [[i, i] for i in range(n)],
            "struct": [{"a": i} for i in range(n)],
            "price": pl.Series([f"{i}.25" for i in range(n)]).cast(pl.Decimal(10, 2)),
            "when": pl.datetime_range(
                dt.datetime(2024, 3, 30, 12), dt.datetime(2024, 3, 30, 12, 59), "1m", eager=True
            ).dt.replace_time_zone("Europe/Berlin"),
        }
    )
    frame.write_parquet(path)
    data = opened(path)
    assert [column.name for column in data.schema.kept] == ["price", "when"]
    assert sum("not supported" in warning for warning in data.warnings) == 2
    codec = Codec.fit(data, Encoding.REAL).double()
    raw, _ = data.rows(np.arange(n))
    x, _ = codec.encode(raw, Rng.of(0, n))
    back = codec.to_user(codec.decode(x))
    assert back["when"].to_list() == frame["when"].to_list()
    assert back["price"].to_list() == [i + 0.25 for i in range(n)]


def test_a_damaged_parquet_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"x": range(100)}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        opened(path)


def test_large_parquet_is_stored_in_a_memory_mapped_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from headwater.data.tables import reader

    n = 250_000
    path = tmp_path / "big.parquet"
    pl.DataFrame({"k": np.arange(n) % 97, "x": np.arange(n) % 1000 / 8}).write_parquet(path)
    monkeypatch.setattr(reader, "_IN_MEMORY", 0)
    data = opened(path)
    assert isinstance(data.storage, np.memmap)
    assert np.array_equal(data.storage[:, 0], np.arange(n) % 97)
    again = opened(path)
    assert again.fingerprint == data.fingerprint
    assert again.schema == data.schema


def test_a_table_without_polars_names_the_extra(tmp_path: Path) -> None:
    path = csv(tmp_path, "a,b\n1,2\n3,4\n5,7\n")
    np.save(tmp_path / "a.npy", np.random.default_rng(0).standard_normal((30, 2)))
    code = (
        "import sys\nfor name in ('polars', 'narwhals', 'sklearn', 'pandas'): sys.modules[name] = None\n"
        "from headwater.data import open_dataset\nfrom headwater.errors import MissingExtraError\n"
        f"open_dataset({str(tmp_path / 'a.npy')!r})\n"
        f"try: open_dataset({str(path)!r})\nexcept MissingExtraError as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "headwater[table]" in done.stdout, done.stderr
    assert issubclass(MissingExtraError, Exception)


def test_duplicates_of_real_rows_are_warned_of() -> None:
    data = opened(pl.DataFrame({"x": np.repeat(np.arange(50) / 7, 4)}))
    assert any("duplicates" in warning for warning in data.warnings)


def test_a_census_file_as_it_is_published(tmp_path: Path) -> None:
    """Like adult.data: no header, ", " between fields, "?" for missing, an empty last line."""
    lines = [
        f"{20 + i % 50}, {'?' if i % 9 == 0 else 'Private'}, {77_516 + 37 * (i % 90)}, {'Male' if i % 2 else 'Female'},"
        f" {'<=50K' if i % 4 else '>50K'}"
        for i in range(200)
    ]
    data = opened(csv(tmp_path, "\n".join(lines) + "\n\n", "adult.data"), label="col_4")
    assert data.schema.label is not None
    assert data.schema.label.classes == ("<=50K", ">50K")
    assert data.schema.column("col_3").categories == ("Female", "Male")
    assert data.schema.column("col_1").missing
    assert data.schema.column("col_1").categories == ("Private",)
    assert len(data) == 200


def test_a_file_is_read_as_the_model_knows_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = "a,c,y\n" + "".join(f"{rng.integers(0, 90)},{'uvw'[i % 3]},{'no' if i % 4 else 'yes'}\n" for i in range(200))
    data = opened(csv(tmp_path, text), label="y")
    codec = Codec.fit(data, Encoding.REAL)
    raw, labels = codec.from_user(csv(tmp_path, "a,c,y\n5,w,yes\n", "new.csv"))
    assert raw.tolist() == [[5.0, 2.0]]
    assert labels is not None
    assert labels.tolist() == [1]
    raw, labels = codec.from_user(str(csv(tmp_path, "c,more,a\nw,1,5\nu,2,7\n", "bare.csv")))
    assert raw.tolist() == [[5.0, 2.0], [7.0, 0.0]]
    assert labels is None
    with pytest.raises(DataError, match="'z' is no category"):
        codec.from_user(csv(tmp_path, "a,c\n5,z\n6,u\n", "odd.csv"))
    with pytest.raises(DataError, match="is missing"):
        codec.from_user(csv(tmp_path, "a,c\n5,u\n,u\n", "gap.csv"))
    with pytest.raises(DataError, match="'maybe' is no class"):
        codec.from_user(csv(tmp_path, "a,c,y\n5,u,maybe\n", "label.csv"))


def test_types_of_a_declared_schema_hold_against_detection(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": np.arange(60) % 7 * 1.0, "b": np.arange(60) / 9})
    schema = opened(frame).schema
    columns = (schema.columns[0].model_copy(update={"type": "real"}), schema.columns[1])
    schema.model_copy(update={"columns": columns}).write(tmp_path / "schema.json")
    again = opened(frame, schema_path=str(tmp_path / "schema.json"))
    assert again.schema.column("a").type == "real"
    columns = (schema.columns[0].model_copy(update={"type": "categorical"}), schema.columns[1])
    schema.model_copy(update={"columns": columns}).write(tmp_path / "schema.json")
    again = opened(frame, schema_path=str(tmp_path / "schema.json"))
    assert again.schema.column("a").categories == tuple("0123456")
