"""Angles, unit vectors, compositions and intervals in tables and arrays: declared, checked, kept, and back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import headwater
from headwater.data import Codec, Dataset, open_dataset
from headwater.data.codecs.kept import Kept
from headwater.errors import ConfigError, DataError, UnsupportedEventError
from headwater.events import Encoding, Support
from headwater.rng import Rng
from headwater.settings import DataSettings

N = 400
SPHERE = {name: {"type": "sphere"} for name in "uvw"}
SIMPLEX = {name: {"type": "simplex"} for name in "pqr"}
TURN = {"angle": {"type": "circle", "high": 360}}
SHARE = {"share": {"type": "interval", "low": -1, "high": 2}}


def frame() -> pl.DataFrame:
    draws = np.random.default_rng(0)
    v = draws.normal(size=(N, 3))
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    c = draws.dirichlet([2, 3, 4], N)
    columns = dict(zip("uvwpqr", np.concatenate([v, c], axis=1).T, strict=True))
    angle = np.round(np.degrees(draws.vonmises(0.0, 3.0, N)) % 360, 2) % 360
    share = 3 * draws.random(N) - 1
    return pl.DataFrame({"angle": angle, **columns, "share": share, "kind": draws.choice(["a", "b"], N)})


def opened(data: Any, **columns: Any) -> Dataset:
    return open_dataset(data, DataSettings(columns=columns))


def everything() -> Dataset:
    return opened(frame(), **TURN, **SPHERE, **SIMPLEX, **SHARE)


def test_each_support_stays_what_it_is_and_comes_back() -> None:
    data = everything()
    codec = Codec.fit(data, Encoding.SUPPORTED).double()
    kinds = [(segment.support, segment.size) for segment in codec.event.segments]
    assert kinds == [
        (Support.CIRCLE, 1), (Support.SPHERE, 3), (Support.SIMPLEX, 3), (Support.INTERVAL, 1), (Support.REAL, 1)
    ]  # fmt: skip
    raw, _ = data.rows(np.arange(N))
    x, ladj = codec.encode(raw, Rng.of(0, N))
    assert x[:, 0].min() >= 0
    assert x[:, 0].max() < 2 * math.pi
    assert ladj.isfinite().all()
    back = codec.to_user(codec.decode(x))
    assert back.columns == frame().columns
    for name in back.columns:
        if name == "kind":
            assert back[name].to_list() == frame()[name].to_list()
        else:
            np.testing.assert_allclose(back[name].to_numpy(), frame()[name].to_numpy(), atol=1e-9)
    again = Codec.from_json(json.loads(json.dumps(codec.to_json(), allow_nan=False))).double()
    assert torch.equal(again.encode(raw, Rng.of(0, N))[0], x)


def test_the_log_determinant_is_that_of_the_units() -> None:
    data = opened(frame().select("angle", "share"), **TURN, **SHARE)
    codec = Codec.fit(data, Encoding.SUPPORTED).double()
    _, ladj = codec.encode(data.rows(np.arange(5))[0], Rng.of(0, 5))
    torch.testing.assert_close(ladj, torch.full((5,), math.log(2 * math.pi / 360) - math.log(3)).double())


def test_samples_of_float32_events_are_in_range() -> None:
    codec = Codec.fit(everything(), Encoding.SUPPORTED)
    x = torch.tensor([[6.2831855, 0, 0, 1, 0, 0, 1, 1, 0], [-1e-9, 0, 1, 0, 1, 0, 0, -1e-9, 0]])
    found = codec.to_user(codec.decode(x))
    assert ((found["angle"] >= 0) & (found["angle"] < 360)).all()
    assert ((found["share"] >= -1) & (found["share"] <= 2)).all()


@pytest.mark.parametrize("encoding", [Encoding.REAL, Encoding.NATIVE, Encoding.SCALED])
def test_encodings_without_circles_cut_them_open_and_refuse_points(encoding: Encoding) -> None:
    data = opened(frame().select("angle", "share"), **TURN, **SHARE)
    codec = Codec.fit(data, encoding).double()
    assert codec.event.is_real
    raw, _ = data.rows(np.arange(N))
    x, ladj = codec.encode(raw, Rng.of(0, N))
    assert ladj.isfinite().all()
    torch.testing.assert_close(codec.decode(x), raw, atol=1e-6, rtol=1e-6)
    with pytest.raises(UnsupportedEventError, match="sphere") as caught:
        Codec.fit(opened(frame().select("u", "v", "w"), **SPHERE), encoding)
    assert "manifold" in caught.value.hint


def test_angles_are_put_in_range_where_they_enter() -> None:
    values = np.array([-10.0, 350.0, 710.0, 0.0, 360.0, 90.5] * 5)
    data = opened(pl.DataFrame({"angle": values}), angle={"type": "circle", "low": 0, "high": 360})
    assert data.storage[:5, 0].tolist() == [350.0, 350.0, 350.0, 0.0, 0.0]
    codec = Codec.fit(data, Encoding.SUPPORTED)
    assert codec.from_user(pl.DataFrame({"angle": [-10.0]}))[0].item() == 350.0


@pytest.mark.parametrize(
    ("values", "given", "ends"),
    [
        (np.linspace(0, 6, 40), {}, (0, 2 * math.pi)),
        (np.linspace(-3, 3, 40), {}, (-math.pi, math.pi)),
        (np.linspace(0, 23.5, 40), {"high": 24}, (0, 24)),
        (np.linspace(-170, 170, 40), {"high": 180}, (-180, 180)),
        (np.linspace(1, 12.5, 40), {"low": 1, "high": 13}, (1, 13)),
    ],
)
def test_where_a_circle_is_cut(values: np.ndarray, given: dict[str, float], ends: tuple[float, float]) -> None:
    column = opened(pl.DataFrame({"x": values}), x={"type": "circle", **given}).schema.column("x")
    assert (column.low, column.high) == pytest.approx(ends)


def test_more_than_a_turn_is_an_error_that_says_what_to_type() -> None:
    with pytest.raises(DataError, match="more than one turn") as caught:
        opened(pl.DataFrame({"angle": np.linspace(0, 359, 50)}), angle={"type": "circle"})
    assert "data.columns.angle.high=360" in caught.value.hint


def test_whole_degrees_come_back_as_whole_numbers_below_a_turn() -> None:
    data = opened(pl.DataFrame({"degrees": np.arange(360).repeat(2)}), degrees={"type": "circle", "high": 360})
    codec = Codec.fit(data, Encoding.SUPPORTED)
    back = codec.to_user(codec.decode(torch.tensor([[6.28318], [0.0], [3.14159]])))["degrees"]
    assert back.dtype == pl.Int64
    assert back.to_list() == [0, 0, 180]


def test_missing_angles_are_modelled_and_counted() -> None:
    values = [None if i % 5 == 0 else i / 10 for i in range(60)]
    data = opened(pl.DataFrame({"angle": values}), angle={"type": "circle"})
    codec = Codec.fit(data, Encoding.SUPPORTED).double()
    raw, _ = data.rows(np.arange(60))
    x, ladj = codec.encode(raw, Rng.of(0, 60))
    assert codec.stochastic
    assert ladj.isfinite().all()
    assert torch.equal(codec.decode(x).isnan(), raw.isnan())
    part = next(part for part in codec.parts if isinstance(part, Kept))
    draws, log_q = part.encode(torch.full((2000, 1), torch.nan, dtype=torch.float64), Rng.of(1, 2000), torch.float64)
    assert torch.exp(log_q - math.log(2 * math.pi)).mean().item() == pytest.approx(1)
    assert draws.mean().item() == pytest.approx(math.pi, abs=0.15)


@pytest.mark.parametrize(
    ("columns", "row", "match"),
    [(SPHERE, (0.9, 0.9, 0.0), r"'u', 'v', 'w', row 3"), (SIMPLEX, (0.5, 0.4, 0.3), "sum to one")],
)
def test_points_that_are_none_are_named_by_row(columns: dict[str, Any], row: tuple[float, ...], match: str) -> None:
    table = frame().select(list(columns))
    rows = table.rows()
    rows[3] = row
    with pytest.raises(DataError, match=match):
        opened(pl.DataFrame(rows, schema=list(columns), orient="row"), **columns)
    data = opened(table, **columns)
    with pytest.raises(DataError, match="expected"):
        Codec.fit(data, Encoding.SUPPORTED).from_user(pl.DataFrame([row], schema=list(columns), orient="row"))


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"u": {"type": "sphere"}}, "at least two"),
        ({"u": {"type": "sphere", "group": "a"}, "v": {"type": "sphere", "group": "b"}}, "at least two"),
        ({"angle": {"type": "circle", "low": 3, "high": 3}}, "low < high"),
    ],
)
def test_declarations_that_mean_nothing_are_refused(columns: dict[str, Any], match: str) -> None:
    with pytest.raises((ConfigError, DataError), match=match):
        opened(frame(), **columns)


def test_two_unit_vectors_in_one_table() -> None:
    v = frame().select("u", "v", "w").to_numpy()
    table = pl.DataFrame(np.concatenate([v, v[::-1]], axis=1), schema=list("abcdef"))
    groups = {name: {"type": "sphere", "group": "one" if name in "ace" else "two"} for name in "abcdef"}
    table = table.select("a", "d", "b", "e", "c", "f").rename(dict(zip("adbecf", "abcdef", strict=True)))
    codec = Codec.fit(opened(table, **groups), Encoding.SUPPORTED)
    assert [segment.name for segment in codec.event.segments] == ["a, c, e", "b, d, f"]
    raw = codec.from_user(table)[0]
    torch.testing.assert_close(codec.decode(codec.encode(raw, Rng.of(0, N))[0]), raw, atol=1e-6, rtol=0)


def test_inspect_shows_what_each_encoding_sees() -> None:
    seen = headwater.inspect(frame(), columns={**TURN, **SPHERE}).seen
    assert "3 sphere" in seen["supported"]
    assert "manifold" not in seen["real"]
    assert seen["real"].startswith("nothing: Column 'u' is of type sphere")


@pytest.mark.parametrize(
    ("column", "support", "size"),
    [({"type": "circle", "high": 360}, Support.CIRCLE, 3), ({"type": "sphere"}, Support.SPHERE, 3)],
)
def test_arrays_can_be_declared_too(column: dict[str, Any], support: Support, size: int) -> None:
    x = frame().select("u", "v", "w").to_numpy().astype(np.float32)
    x = x if support is Support.SPHERE else np.degrees(np.arccos(x))
    data = opened(x, x=column)
    codec = Codec.fit(data, Encoding.SUPPORTED)
    assert [(s.support, s.size) for s in codec.event.segments] == [(support, size)]
    back = codec.to_user(codec.decode(codec.encode(data.rows(np.arange(N))[0], Rng.of(0, N))[0]))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, x, atol=1e-4)
    with pytest.raises(ConfigError, match="no column 'y'"):
        opened(x, y=column)
    with pytest.raises(ConfigError, match="expected a type among"):
        opened(x, x={"type": "categorical"})


def test_an_edited_schema_declares_runs_of_an_array(tmp_path: Path) -> None:
    x = np.concatenate([frame().select("u", "v", "w").to_numpy(), frame().select("angle").to_numpy()], axis=1)
    np.save(tmp_path / "x.npy", x)
    schema = open_dataset(tmp_path / "x.npy").schema.to_json()
    schema["columns"] = [
        {"name": "direction", "type": "sphere", "size": 3},
        {"name": "angle", "type": "circle", "low": 0, "high": 360},
    ]
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    data = open_dataset(tmp_path / "x.npy", DataSettings(schema_path=str(tmp_path / "schema.json")))
    segments = Codec.fit(data, Encoding.SUPPORTED).event.segments
    assert [(s.support, s.size) for s in segments] == [(Support.SPHERE, 3), (Support.CIRCLE, 1)]


def test_from_a_csv_with_an_angle_to_samples_and_a_likelihood_without_a_seam(tmp_path: Path) -> None:
    frame().select("angle", "u", "v", "w").write_csv(tmp_path / "wind.csv")
    run = headwater.fit(
        tmp_path / "wind.csv",
        "manifold",
        out=tmp_path / "run",
        steps=40,
        settings={"data": {"columns": {**TURN, **SPHERE}}, "optimizer": {"lr": 1e-2, "warmup": 0}},
        transforms=1,
        width=16,
        bins=6,
    )
    samples = run.sample(500, seed=0)
    angle = samples["angle"].to_numpy()
    assert angle.min() >= 0
    assert angle.max() < 360
    assert np.cos(np.radians(angle)).mean() > 0.4  # the data has 0.81, and half of it on each side of the seam
    assert (angle < 90).mean() > 0.15
    assert (angle > 270).mean() > 0.15
    np.testing.assert_allclose(np.square(samples.select("u", "v", "w").to_numpy()).sum(axis=1), 1, atol=1e-9)
    row = frame().select("angle", "u", "v", "w").head(1)
    same = [row.with_columns(pl.lit(a).alias("angle")) for a in (0.0, 360.0, 360.0 - 1e-9, -360.0)]
    score = run.log_prob(pl.concat(same))
    assert score.kind == "exact"
    torch.testing.assert_close(score.value, score.value[:1].expand(4), atol=1e-4, rtol=0)
    again = headwater.load(tmp_path / "run").log_prob(row)
    torch.testing.assert_close(again.value, run.log_prob(row).value)
