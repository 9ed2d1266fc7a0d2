"""D1, D3, D4, D5, D6: weights are read from safetensors only, after their header told the truth."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from headwater.errors import CheckpointError, UnsafeFileError
from headwater.runs.header import ITEM_SIZES
from headwater.runs.weights import check_state, load_state, read_safetensors, write_safetensors


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (Path.touch, (self.canary,))


def raw(path: Path, header: bytes | dict[str, Any], data: bytes = b"", *, length: int | None = None) -> Path:
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(begin: int, end: int, dtype: str = "F32", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def test_every_type_comes_back_bit_for_bit_and_the_library_agrees(tmp_path: Path) -> None:
    types = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
    tensors = {str(t): torch.arange(-3, 4).to(t).reshape(7, 1) for t in (*types, torch.int8, torch.uint8, torch.bool)}
    tensors |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "strided": torch.arange(6.0).reshape(2, 3).T}
    assert len({t.dtype for t in tensors.values()}) == len(ITEM_SIZES)
    path = tmp_path / "w.safetensors"
    size, digest = write_safetensors(path, tensors, metadata={"who": "me"})
    assert (size, len(digest)) == (path.stat().st_size, 64)
    for found in (read_safetensors(path), safetensors.torch.load_file(path)):
        assert found.keys() == tensors.keys()
        assert all(found[n].dtype == t.dtype and torch.equal(found[n], t) for n, t in tensors.items())


@pytest.mark.parametrize(
    "suffix", [".pt", ".pth", ".bin", ".ckpt", ".pkl", ".joblib", ".pt2", ".npz", ".PT", ".h5", ".txt", ""]
)
def test_other_formats_are_refused_by_type_and_never_opened(tmp_path: Path, suffix: str) -> None:
    path, canary = tmp_path / f"weights{suffix}", tmp_path / "canary"
    path.write_bytes(pickle.dumps(Payload(canary)))
    path.chmod(0)
    with pytest.raises(UnsafeFileError, match="safetensors"):
        read_safetensors(path)
    assert not canary.exists()


def test_disguised_formats_are_refused(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    disguised = tmp_path / "w.safetensors"
    disguised.write_bytes(pickle.dumps(Payload(canary)))
    with pytest.raises(UnsafeFileError, match="pickle"):
        read_safetensors(disguised)
    torch.save({"a": torch.zeros(2), "b": Payload(canary)}, disguised)
    with pytest.raises(UnsafeFileError, match="zip"):
        read_safetensors(disguised)
    with disguised.open("wb") as file:
        np.save(file, np.array([Payload(canary)]), allow_pickle=True)
    with pytest.raises(UnsafeFileError, match="NumPy"):
        read_safetensors(disguised)
    with zipfile.ZipFile(disguised, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("data/0", bytes(10_000_000))
    with pytest.raises(UnsafeFileError, match="zip"):
        read_safetensors(disguised)
    assert not canary.exists()


def test_folders_devices_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "dcp").mkdir()
    (tmp_path / "dcp" / ".metadata").write_bytes(pickle.dumps(1))
    with pytest.raises(UnsafeFileError, match="folder"):
        read_safetensors(tmp_path / "dcp")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    with pytest.raises(UnsafeFileError, match="regular"):
        read_safetensors(tmp_path / "zero.safetensors")
    with pytest.raises(CheckpointError, match="No such file"):
        read_safetensors(tmp_path / "none.safetensors")


def test_more_bytes_than_the_limit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {"a": torch.zeros(1000)})
    with pytest.raises(UnsafeFileError, match="at most"):
        read_safetensors(path, limit_bytes=1000)


LIES: dict[str, tuple[bytes | dict[str, Any], bytes]] = {
    "overlap": ({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)),
    "same bytes twice": ({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)),
    "gap": ({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)),
    "late start": ({"a": entry(4, 8)}, bytes(8)),
    "trailing data": ({"a": entry(0, 4)}, bytes(8)),
    "missing data": ({"a": entry(0, 8)}, bytes(4)),
    "negative offset": ({"a": entry(-4, 0)}, b""),
    "reversed": ({"a": entry(8, 4, shape=[1])}, bytes(8)),
    "type lie": ({"a": entry(0, 8, dtype="F64", shape=[2])}, bytes(8)),
    "unknown type": ({"a": entry(0, 8, dtype="F8_E4M3", shape=[8])}, bytes(8)),
    "type not text": ({"a": entry(0, 8, shape=[2]) | {"dtype": ["F32"]}}, bytes(8)),
    "negative shape": ({"a": entry(0, 4, shape=[-1, -1])}, bytes(4)),
    "huge shape": ({"a": entry(0, 0, shape=[2**63, 2**63])}, b""),
    "wrapping shape": ({"a": entry(0, 4, shape=[2**62, 4, 1])}, bytes(4)),
    "float shape": ({"a": entry(0, 4, shape=[1.0])}, bytes(4)),
    "bool shape": ({"a": entry(0, 4, shape=[True])}, bytes(4)),
    "many dimensions": ({"a": entry(0, 4, shape=[1] * 100)}, bytes(4)),
    "three offsets": ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 4]}}, bytes(4)),
    "extra field": ({"a": entry(0, 4) | {"class": "os.system"}}, bytes(4)),
    "metadata": ({"__metadata__": {"a": {"b": 1}}}, b""),
    "empty name": ({"": entry(0, 4)}, bytes(4)),
    "control characters": ({"a\x1b[2J": entry(0, 4)}, bytes(4)),
    "duplicate": (b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}', bytes(4)),
    "nan": (b'{"a":NaN}', b""),
    "array": (b"[]", b""),
    "no json": (b"{", b""),
    "not utf-8": (b'{"\xff":1}', b""),
    "deep": (b'{"a":' * 9000, b""),
    "leading space": (b' {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_damaged(tmp_path: Path, lie: str) -> None:
    with pytest.raises(CheckpointError):
        read_safetensors(raw(tmp_path / "w.safetensors", *LIES[lie]))


def test_an_honest_header_written_by_the_same_helper_is_read(tmp_path: Path) -> None:
    found = read_safetensors(raw(tmp_path / "w.safetensors", {"b": entry(4, 12), "a": entry(0, 4)}, bytes(12)))
    assert {name: tuple(t.shape) for name, t in found.items()} == {"a": (1,), "b": (2,)}


ATTACKS = """
import resource, sys, time
from pathlib import Path
from headwater.errors import DataError
from headwater.runs.weights import read_safetensors
def used():
    return int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
most = used() + 384 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for name in sys.argv[1:]:
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
    before = time.process_time()
    try:
        read_safetensors(Path(name), limit_bytes=2**30)
    except DataError as error:
        print(type(error).__name__, time.process_time() - before < 3)
    else:
        print('accepted', name)
"""


def test_attacks_on_memory_are_refused_within_a_fixed_memory(tmp_path: Path) -> None:
    def sparse(name: str, length: int, size: int) -> Path:
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + b"{")
        with path.open("r+b") as file:
            file.truncate(size)
        return path

    many = b"{" + b",".join(b'"%d":[]' % i for i in range(700_000)) + b"}"
    entries = {f"t{i}": entry(0, 0, shape=[0]) for i in range(60_000)}
    attacks = [
        sparse("length-2-63", 2**63, 100),
        sparse("length-2-64", 2**64 - 1, 100),
        sparse("header-99-MB", 99_000_000, 99_000_100),
        sparse("file-8-GB", 100, 8 * 2**30),
        raw(tmp_path / "many-keys.safetensors", many),
        raw(tmp_path / "many-tensors.safetensors", entries),
        raw(tmp_path / "lists.safetensors", b'{"a":[' + b"[]," * 2_000_000 + b"[]]}"),
        raw(tmp_path / "promise.safetensors", {"a": entry(0, 2**50, shape=[2**48])}, bytes(64)),
        raw(tmp_path / "digits.safetensors", b'{"a":' + b"9" * 5_000_000 + b"}"),
    ]
    done = subprocess.run([sys.executable, "-c", ATTACKS, *attacks], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(attacks)
    assert {line.split()[0] for line in lines} <= {"UnsafeFileError", "CheckpointError"}
    assert all(line.endswith("True") for line in lines), lines
    assert resource.getpagesize() > 0


def test_a_diff_by_name_of_what_does_not_fit() -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(CheckpointError) as caught:
        check_state(model, {"weight": torch.zeros(4, 3), "extra": torch.zeros(1)}, where="w.safetensors")
    text = str(caught.value)
    assert "w.safetensors" in text
    assert "- bias (2,) is missing" in text
    assert "+ extra (1,) is not in the model" in text
    assert "~ weight is (4, 3), the model has (2, 3)" in text


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights_are_refused_and_named(value: float) -> None:
    model = nn.Linear(3, 2)
    before = model.weight.clone()
    with pytest.raises(CheckpointError, match="'bias'"):
        load_state(model, {"weight": torch.zeros(2, 3), "bias": torch.tensor([0.0, value])})
    assert torch.equal(model.weight, before)
    load_state(model, {"weight": torch.ones(2, 3), "bias": torch.zeros(2)})
    assert torch.equal(model.weight, torch.ones(2, 3))
