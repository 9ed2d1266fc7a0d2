"""Every file carries its recipe; nothing is overwritten unasked; no pickle in any of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from headwater.errors import UsageError
from headwater.runs.export import write_samples, write_scores
from headwater.runs.folder import RunFolder
from headwater.runs.sheets import make_grid
from headwater.scores import Score

RECIPE = {"run": "été", "seed": 3, "n": 5, "checkpoint": "ab" * 32}
PICTURES = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 6)).astype(np.uint8)
TABLE = pl.DataFrame({"age": [1, 2, None], "who": ["a", 'b,"c"\n', "é"]})


@pytest.fixture
def run(tmp_path: Path) -> Any:
    pictures = SimpleNamespace(kind="images", levels=256)
    return SimpleNamespace(folder=RunFolder.create(tmp_path / "run"), schema=pictures)


def written(run: Any, samples: Any, path: Path | None, **more: Any) -> Path:
    return write_samples(run, samples, path, recipe=RECIPE, **more)


def test_a_sheet_and_single_pictures(run: Any, tmp_path: Path) -> None:
    with Image.open(written(run, PICTURES, tmp_path / "sheet.png"), formats=["PNG"]) as sheet:
        assert json.loads(sheet.text["headwater"]) == RECIPE
        assert sheet.size == (3 * (6 * 6 + 2) + 2, 2 * (8 * 6 + 2) + 2)
    folder = written(run, torch.from_numpy(PICTURES), tmp_path / "pictures")
    assert len(list(folder.iterdir())) == 5
    with Image.open(folder / "000004.png", formats=["PNG"]) as picture:
        assert json.loads(picture.text["headwater"]) == RECIPE
        assert np.array_equal(np.asarray(picture).transpose(2, 0, 1), PICTURES[4])


def test_arrays(run: Any, tmp_path: Path) -> None:
    rows = np.arange(10.0).reshape(5, 2)
    with np.load(written(run, torch.from_numpy(rows), tmp_path / "s.npz"), allow_pickle=False) as held:
        assert np.array_equal(held["samples"], rows)
        assert json.loads(str(held["headwater"])) == RECIPE
    assert np.array_equal(np.load(written(run, rows, tmp_path / "s.npy"), allow_pickle=False), rows)
    assert json.loads((tmp_path / "s.npy.json").read_text()) == RECIPE
    assert np.array_equal(np.loadtxt(written(run, rows, tmp_path / "s.csv"), delimiter=",", skiprows=1), rows)
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        written(run, np.array([{"a": 1}], dtype=object), tmp_path / "o.npy")
    assert not (tmp_path / "o.npy").exists()


@pytest.mark.parametrize("frame", [TABLE, pd.DataFrame(TABLE.to_dict(as_series=False))], ids=["polars", "pandas"])
def test_tables(run: Any, tmp_path: Path, frame: Any) -> None:
    back = pl.read_csv(written(run, frame, tmp_path / "s.csv"))
    assert back["who"].to_list() == TABLE["who"].to_list()
    assert back["age"].cast(pl.Float64).to_list() == [1, 2, None]
    assert json.loads((tmp_path / "s.csv.json").read_text()) == RECIPE
    path = written(run, frame, tmp_path / "s.parquet")
    assert pl.read_parquet(path)["who"].to_list() == TABLE["who"].to_list()
    assert json.loads(pl.read_parquet_metadata(path)["headwater"]) == RECIPE
    assert json.loads((tmp_path / "s.parquet.json").read_text()) == RECIPE


def test_nothing_is_overwritten_unasked(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        written(run, PICTURES, path)
    assert path.read_text() == "mine"
    written(run, PICTURES, path, exist_ok=True)
    assert np.load(path)["samples"].shape == PICTURES.shape
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        written(run, PICTURES, full)
    written(run, PICTURES, full, exist_ok=True)
    assert (full / "thesis").read_text() == "mine"


@pytest.mark.parametrize(
    ("samples", "name"),
    [(PICTURES, "s.csv"), (TABLE, "s.npz"), (TABLE, "s.png"), (np.zeros((3, 2)), "s.png"), (PICTURES, "s.pkl")],
)
def test_endings_that_do_not_fit(run: Any, tmp_path: Path, samples: Any, name: str) -> None:
    with pytest.raises(UsageError):
        written(run, samples, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_without_a_path_the_run_keeps_them(run: Any) -> None:
    assert written(run, PICTURES, None) == run.folder.samples / "seed3-n5.png"
    assert written(run, np.zeros((5, 2)), None).name == "seed3-n5.npz"
    assert written(run, TABLE, None).name == "seed3-n5.csv"


def test_scores(tmp_path: Path) -> None:
    score = Score(torch.tensor([-1.0, -2.0]), "estimate", torch.tensor([0.1, 0.2]), {"solver": "heun"})
    write_scores(score, tmp_path / "s.csv", recipe=RECIPE)
    assert pl.read_csv(tmp_path / "s.csv")["log_prob"].to_list() == [-1, -2]
    told = json.loads((tmp_path / "s.csv.json").read_text())
    assert (told["kind"], told["unit"], told["protocol"]) == ("estimate", "nats", {"solver": "heun"})
    write_scores(score, tmp_path / "s.npz", recipe=RECIPE)
    assert np.allclose(np.load(tmp_path / "s.npz")["stderr"], [0.1, 0.2])
    with pytest.raises(UsageError):
        write_scores(score, tmp_path / "s.txt", recipe=RECIPE)


def test_every_pixel_of_a_sheet_is_where_it_belongs() -> None:
    grid = np.asarray(make_grid(PICTURES[:, :1], columns=2, scale=3))
    for i in range(5):
        top, left = (i // 2) * 26 + 2, (i % 2) * 20 + 2
        assert np.array_equal(grid[top : top + 24 : 3, left : left + 18 : 3], PICTURES[i, 0])
        assert np.array_equal(grid[top + 2 : top + 24 : 3, left + 2 : left + 18 : 3], PICTURES[i, 0])
    assert (grid[:2] == 128).all()
    assert make_grid(np.ones((1, 4, 4))).getpixel((3, 3)) == 255
    with pytest.raises(UsageError):
        make_grid(PICTURES[:0])
    with pytest.raises(UsageError):
        make_grid(np.zeros((3, 5, 4, 6), np.uint8))
