"""Arrays: what they are is found out, splits and labels by name, damaged and dangerous files refused."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from headwater.data import Codec, Dataset, open_dataset
from headwater.errors import DataError, UnsafeFileError
from headwater.events import Encoding, Support
from headwater.rng import Rng
from headwater.settings import DataSettings

RNG = np.random.default_rng(0)


def opened(data: Any, **settings: Any) -> Dataset:
    return open_dataset(data, DataSettings(**settings))


def round_trip(data: Dataset, value: Any) -> None:
    """Everything back as it was, in every encoding: exact for whole numbers, to rounding for reals."""
    raw, _ = data.rows(np.arange(len(data)))
    for encoding in Encoding:
        codec = Codec.fit(data, encoding).double()
        given, _ = codec.from_user(value)
        assert torch.equal(given.double().nan_to_num(-7.5), raw.double().nan_to_num(-7.5))
        x, ladj = codec.encode(raw, Rng.of(0, len(data)))
        assert x.shape[1:] == codec.event.shape
        assert torch.isfinite(x).all()
        assert torch.isfinite(ladj).all()
        back = codec.to_user(codec.decode(x), None)
        assert type(back) is type(value)
        assert back.dtype == value.dtype
        assert back.shape == value.shape
        assert np.allclose(np.asarray(back, float), np.asarray(value, float), rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    "array",
    [
        RNG.standard_normal((60, 3)),
        RNG.standard_normal((60, 3)).astype(np.float32),
        RNG.standard_normal((60, 2, 2)),
        RNG.standard_normal(60),
        RNG.integers(0, 2, (60, 12)),
        RNG.integers(-3, 9, (60, 4)),
        RNG.integers(0, 10**6, (60, 2)),
        np.column_stack([RNG.standard_normal(60), RNG.integers(0, 2, 60), RNG.integers(0, 5, 60), np.full(60, 3.5)]),
        np.where(RNG.random((60, 3)) < 0.2, np.nan, RNG.standard_normal((60, 3))),
        RNG.integers(0, 256, (60, 4, 5), dtype=np.uint8),
        RNG.integers(0, 256, (60, 4, 5, 3), dtype=np.uint8),
        RNG.integers(0, 256, (60, 3, 4, 5), dtype=np.uint8),
        RNG.integers(0, 2, (60, 4, 5), dtype=np.uint8),
        RNG.integers(0, 60_000, (60, 4, 4), dtype=np.uint16),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_come_back_as_they_went_in(array: np.ndarray) -> None:
    round_trip(opened(array), array)
    if array.dtype != np.uint16:
        tensor = torch.from_numpy(array.copy())
        round_trip(opened(tensor), tensor)


def test_digits_are_pictures_of_seventeen_levels() -> None:
    digits = load_digits()
    data = opened((digits.images, digits.target))
    assert data.schema.kind == "images"
    assert data.schema.levels == 17
    assert data.schema.shape == (1, 8, 8)
    codec = Codec.fit(data, Encoding.NATIVE)
    assert codec.event.segments[0].high == 16
    assert codec.context.classes == tuple("0123456789")
    assert codec.dims == 64


def test_supports_of_arrays() -> None:
    binary = Codec.fit(opened(RNG.integers(0, 2, (50, 30))), Encoding.NATIVE)
    assert [(s.support, s.size) for s in binary.event.segments] == [(Support.BINARY, 30)]
    assert not binary.stochastic
    real = Codec.fit(opened(RNG.standard_normal((50, 30))), Encoding.REAL)
    assert [(s.support, s.size) for s in real.event.segments] == [(Support.REAL, 30)]
    assert not real.stochastic
    assert len(real.parts) == 1
    pictures = Codec.fit(opened(RNG.integers(0, 2, (50, 4, 4))), Encoding.NATIVE)
    assert pictures.event.segments[0].support is Support.BINARY


def test_log_determinant_is_autodiffs_on_arrays() -> None:
    data = opened(RNG.standard_normal((200, 3)) * [1, 10, 0.1] + [0, 5, -3])
    codec = Codec.fit(data, Encoding.REAL).double()
    raw, _ = data.rows(np.arange(5))
    jacobian = torch.autograd.functional.jacobian(lambda v: codec.encode(v, Rng.of(0, 5))[0].sum(0), raw)
    _, ladj = codec.encode(raw, Rng.of(0, 5))
    slopes = torch.linalg.slogdet(jacobian.permute(1, 0, 2)).logabsdet
    assert torch.allclose(slopes, ladj)


def test_constant_columns_are_left_out_exactly_with_a_warning() -> None:
    array = np.column_stack([RNG.standard_normal(60), np.full(60, 0.1), RNG.standard_normal(60)])
    data = opened(array)
    assert any("1 of 3 columns are constant" in warning for warning in data.warnings)
    codec = Codec.fit(data, Encoding.REAL)
    assert codec.event.size == 2
    assert codec.dims == 3
    assert (codec.decode(torch.zeros(4, 2))[:, 1] == 0.1).all()
    with pytest.raises(DataError, match="nothing to model"):
        Codec.fit(opened(np.column_stack([np.arange(60.0), np.ones(60)])), Encoding.REAL).from_json(
            Codec.fit(opened(array), Encoding.REAL).to_json()
            | {"parts": [{"part": "constant", "columns": [0, 1, 2], "reads": "value",
                          "state": {"values": {"shape": [3], "dtype": "float64", "values": [0, 0, 0]}}}]}
        )  # fmt: skip


def test_an_outlier_in_an_array_gets_a_robust_map() -> None:
    array = RNG.standard_normal((500, 2))
    array[7, 1] = 1e30
    codec = Codec.fit(opened(array), Encoding.REAL)
    raw = torch.from_numpy(array)
    x, ladj = codec.encode(raw, Rng.of(0, 500))
    assert x.abs().max() < 20
    assert torch.isfinite(ladj).all()
    assert 0.8 < float(x[:, 1].std()) < 1.2


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e200])
def test_infinity_is_named_by_row_and_column(value: float) -> None:
    array = RNG.standard_normal((50, 3))
    array[17, 2] = value
    with pytest.raises(DataError, match="row 17, column 2"):
        opened(array)


@pytest.mark.parametrize(
    "array", [np.zeros((0, 3)), np.array(3.0), np.array([["a", "b"]] * 9), np.zeros((9, 2), complex)]
)
def test_what_is_no_rows_of_numbers_is_refused(array: np.ndarray) -> None:
    with pytest.raises(DataError):
        opened(array)


def test_fixed_splits_and_labels_by_name(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (80, 4, 4), dtype=np.uint8)
    x[0, 0, 0] = 255
    y = np.arange(80) % 3
    path = tmp_path / "d.npz"
    np.savez_compressed(path, x_train=x[:60], y_train=y[:60], x_test=x[60:], y_test=y[60:])
    data = opened(path)
    assert data.splits["test"].tolist() == list(range(60, 80))
    assert set(data.splits["valid"]) < set(range(60))
    assert len(data.splits["valid"]) > 0
    assert data.labels is not None
    assert np.array_equal(data.labels, y)
    np.savez(path, train=x[:40], valid=x[40:60], test=x[60:])
    three = opened(path)
    assert [len(three.splits[name]) for name in ("train", "valid", "test")] == [40, 20, 20]
    assert opened({"images": x, "labels": y}).labels is not None
    assert opened({"images": x, "labels": y}, label="none").labels is None


def test_leakage_between_fixed_splits_is_counted(tmp_path: Path) -> None:
    x = RNG.standard_normal((80, 3))
    x[60:65] = x[:5]
    data = opened({"x_train": x[:60], "x_test": x[60:]})
    assert any("of 20 rows of the test split are in the training split too" in warning for warning in data.warnings)


def test_which_array_is_asked_when_it_cannot_be_told() -> None:
    two = {"a": np.zeros((9, 2)), "b": np.zeros((9, 3))}
    with pytest.raises(DataError, match="cannot tell") as caught:
        opened(two)
    assert "data.key" in caught.value.hint
    assert opened({"a": RNG.standard_normal((30, 2)), "b": np.zeros((9, 3))}, key="a").schema.shape == (2,)
    with pytest.raises(DataError, match="no array 'c'"):
        opened(two, key="c")


def test_a_npy_file_is_mapped_and_watched(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, RNG.standard_normal((50, 3)))
    data = opened(path)
    assert isinstance(data.storage.base, np.memmap) or isinstance(data.storage, np.memmap)
    data.rows(np.arange(3))
    np.save(path, RNG.standard_normal((51, 3)))
    with pytest.raises(DataError, match=r"x\.npy: changed") as caught:
        data.rows(np.arange(3))
    assert "resume" in caught.value.hint
    path.unlink()
    with pytest.raises(DataError, match=r"x\.npy"):
        data.rows(np.arange(3))


class _Canary:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.path),)


def test_python_objects_are_never_loaded(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    array = np.array([_Canary(str(canary))] * 5, dtype=object)
    np.save(tmp_path / "o.npy", array, allow_pickle=True)
    np.savez(tmp_path / "o.npz", x=array)
    for name in ("a.pt", "a.pkl", "a.joblib", "a.pt2", "plain"):
        (tmp_path / name).write_bytes(pickle.dumps(_Canary(str(canary))))
    for name in ("o.npy", "o.npz", "a.pt", "a.pkl", "a.joblib", "a.pt2", "plain"):
        with pytest.raises(UnsafeFileError):
            opened(tmp_path / name)
    assert not canary.exists()


def test_damaged_files_are_named(tmp_path: Path) -> None:
    whole = tmp_path / "x.npy"
    np.save(whole, RNG.standard_normal((50, 3)))
    data = whole.read_bytes()
    cut = tmp_path / "cut.npy"
    cut.write_bytes(data[:-9])
    lying = tmp_path / "lying.npy"
    lying.write_bytes(data.replace(b"(50, 3)", b"(99, 3)"))
    text = tmp_path / "text.npy"
    text.write_text("hello")
    packed = tmp_path / "x.npz"
    np.savez_compressed(packed, x=np.arange(3000.0))
    broken = tmp_path / "broken.npz"
    broken.write_bytes(packed.read_bytes()[:-200])
    flipped = bytearray(packed.read_bytes())
    flipped[300] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for path in (cut, lying, text, broken, tmp_path / "flipped.npz", tmp_path / "missing.npy"):
        with pytest.raises(DataError, match=path.name):
            opened(path)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_idx_pairs_and_folders(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (70, 4, 5), dtype=np.uint8)
    x[0, 0, 0] = 255
    y = (np.arange(70) % 4).astype(np.uint8)
    for split, rows in (("train", slice(0, 50)), ("t10k", slice(50, 70))):
        (tmp_path / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x[rows])))
        (tmp_path / f"{split}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(y[rows])))
    folder = opened(tmp_path)
    assert np.array_equal(folder.storage[folder.splits["test"]][:, 0], x[50:])
    assert folder.labels is not None
    assert np.array_equal(folder.labels[folder.splits["test"]], y[50:])
    pair = opened(tmp_path / "train-images-idx3-ubyte.gz")
    assert len(pair) == 50
    assert pair.labels is not None
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x[:5])[:-3]))
    with pytest.raises(DataError, match="t10k"):
        opened(tmp_path)
    lie = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**31, 2**10, 2**10)
    (tmp_path / "lie-idx3-ubyte.gz").write_bytes(gzip.compress(lie))
    with pytest.raises(UnsafeFileError):
        opened(tmp_path / "lie-idx3-ubyte.gz")


def test_one_class_and_odd_labels() -> None:
    x = RNG.standard_normal((60, 2))
    one = opened((x, np.zeros(60, dtype=int)))
    assert Codec.fit(one, Encoding.REAL).context.size == 1
    texts = opened((x, np.array(["b", "a"] * 30)))
    assert texts.schema.label is not None
    assert texts.schema.label.classes == ("a", "b")
    number = opened((x, RNG.standard_normal(60)))
    assert Codec.fit(number, Encoding.REAL).context.size == 2
    codec = Codec.fit(texts, Encoding.REAL)
    _, labels = codec.from_user((x, np.array(["b", "a"] * 30)))
    assert labels is not None
    assert labels[:2].tolist() == [1, 0]
    with pytest.raises(DataError, match="'c' is no class"):
        codec.from_user((x, np.array(["c"] * 60)))


def test_shapes_that_do_not_fit_are_named() -> None:
    codec = Codec.fit(opened(RNG.standard_normal((60, 3))), Encoding.REAL)
    with pytest.raises(DataError, match=r"rows of shape \(3,\)"):
        codec.from_user(RNG.standard_normal((5, 4)))
    pictures = Codec.fit(opened(RNG.integers(0, 256, (60, 4, 5), dtype=np.uint8)), Encoding.REAL)
    with pytest.raises(DataError, match="pictures of shape"):
        pictures.from_user(RNG.integers(0, 256, (5, 5, 4), dtype=np.uint8))
    with pytest.raises(DataError, match="pixels"):
        pictures.from_user(RNG.standard_normal((5, 4, 5)))


def test_float_pictures_in_the_unit_interval_are_bytes() -> None:
    array = RNG.integers(0, 256, (40, 6, 6)).astype(np.float32) / 255
    data = opened(array)
    assert data.schema.levels == 256
    assert np.array_equal(data.storage[:, 0], np.round(array * 255))
    raw, _ = Codec.fit(data, Encoding.REAL).from_user(array)
    assert np.array_equal(raw.numpy(), data.storage)


def test_a_subset_of_a_file_is_read_as_the_model_knows_it(tmp_path: Path) -> None:
    digits = load_digits()
    data = opened((digits.images, digits.target))
    codec = Codec.fit(data, Encoding.REAL)
    np.savez(tmp_path / "few.npz", x=digits.images[:4] * 0.0 + 3, y=np.array([7, 7, 1, 0]))
    raw, labels = codec.from_user(tmp_path / "few.npz")
    assert raw.shape == (4, 1, 8, 8)
    assert labels is not None
    assert labels.tolist() == [7, 7, 1, 0]
    np.savez(tmp_path / "bright.npz", x=digits.images[:4] + 5)
    with pytest.raises(DataError, match="levels"):
        codec.from_user(tmp_path / "bright.npz")
    flags = Codec.fit(opened(RNG.integers(0, 2, (50, 3))), Encoding.NATIVE)
    np.save(tmp_path / "wrong.npy", np.full((4, 3), 2))
    with pytest.raises(DataError, match="is not 0 or 1"):
        flags.from_user(tmp_path / "wrong.npy")
