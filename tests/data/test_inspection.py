"""What inspect tells, the schema's way to a file and back, and choosing a reader."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from headwater.data import Schema, inspect, open_dataset
from headwater.data.readers import READERS, reader
from headwater.errors import ConfigError, DataError, UsageError
from headwater.settings import DataSettings

RNG = np.random.default_rng(0)


def table(n: int = 200) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "age": RNG.integers(17, 60, n),
            "job": [["cook", "smith", None][i % 3] for i in range(n)],
            "x": RNG.standard_normal(n),
        }
    )


def test_inspection_of_a_table_tells_all() -> None:
    told = inspect(table(), DataSettings(label="job"))
    text = str(told)
    for part in ("table: 200 rows", "splits: train", "label 'job': cook 67, smith 67", "age: integer", "x: real"):
        assert part in text
    data = told.to_json()
    json.dumps(data, allow_nan=False)
    assert data["splits"]["train"] + data["splits"]["valid"] + data["splits"]["test"] == 200
    assert "EventSpec" in data["model_sees"]["native"]
    assert told.sheet() is None


def test_inspection_of_pictures_has_a_sheet() -> None:
    told = inspect((RNG.integers(0, 17, (90, 8, 6)).astype(float), np.arange(90) % 3))
    picture = told.sheet(rows=2, columns=5)
    assert picture is not None
    assert picture.size == (5 * 6 * 4, 2 * 8 * 4)
    assert "pixels: 0 .. 16" in str(told)


def test_a_schema_is_written_edited_and_taken_back(tmp_path: Path) -> None:
    frame = table()
    schema = inspect(frame).schema
    path = tmp_path / "schema.json"
    schema.write(path)
    assert Schema.read(path) == schema
    edited = json.loads(path.read_text())
    edited["columns"][0]["type"] = "drop"
    edited["columns"][1]["unknown"] = "other"
    path.write_text(json.dumps(edited))
    data = open_dataset(frame, DataSettings(schema_path=str(path)))
    assert [column.name for column in data.schema.kept] == ["job", "x"]
    assert data.schema.column("job").categories == ("cook", "smith", "other")


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"kidn": "table"}, ConfigError, "kidn"),
        ({"version": 2}, ConfigError, "version"),
        ({"columns": [{"name": "agee", "type": "real"}], "shape": [1]}, DataError, "agee"),
        ({"columns": [{"name": "age", "type": "whole"}], "shape": [1]}, ConfigError, "columns.0.type"),
        ({"kind": "images", "levels": 256, "shape": [1, 2, 3], "columns": []}, DataError, "kind"),
    ],
)
def test_a_wrong_schema_is_refused_field_by_field(
    tmp_path: Path, change: dict[str, object], error: type[Exception], match: str
) -> None:
    frame = table()
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(inspect(frame).schema.to_json() | change))
    with pytest.raises(error, match=match):
        open_dataset(frame, DataSettings(schema_path=str(path)))


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_schema_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "schema.json"
    path.write_text(text)
    with pytest.raises(DataError):
        Schema.read(path)
    with pytest.raises(DataError):
        Schema.read(tmp_path / "none.json")


def test_nearest_field_is_offered() -> None:
    with pytest.raises(ConfigError) as caught:
        Schema.from_json({"kind": "arrays", "shape": [2], "layuot": "HW"})
    assert "layout" in caught.value.hint


def test_readers_are_named() -> None:
    assert set(READERS) >= {"arrays", "images", "table"}
    with pytest.raises(UsageError, match="strokse"):
        reader("strokse")
    with pytest.raises(UsageError, match="No data"):
        open_dataset()
    with pytest.raises(DataError, match="not known"):
        open_dataset(3)
    with pytest.raises(DataError, match="nowhere"):
        open_dataset("nowhere/at/all.csv")


def test_importing_data_loads_no_torch() -> None:
    code = "import sys, headwater.data, headwater.data.schema; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
