"""Pictures: every fault of folders and files that people meet; the same pixels give the same tensor."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headwater.data import Dataset, images, open_dataset
from headwater.data.decode import Policy, decode_picture
from headwater.data.limits import LIMITS, Limits
from headwater.errors import DataError, UnsafeFileError
from headwater.settings import DataSettings


def opened(path: Path, **settings: Any) -> Dataset:
    return open_dataset(path, DataSettings(**settings))


def pixels(seed: int, shape: tuple[int, ...] = (6, 5, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(
    folder: Path, count: int, *, shape: tuple[int, ...] = (6, 5, 3), suffix: str = ".png", start: int = 0
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(start, start + count):
        Image.fromarray(pixels(i, shape)).save(folder / f"{i:05d}{suffix}")


def bomb(side: int = 50_000) -> bytes:
    """A PNG of one colour: header of ``side x side`` pixels, a few bytes long."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10_000))
        + chunk(b"IEND", b"")
    )


def test_a_folder_of_rectangles_is_read_exactly(tmp_path: Path) -> None:
    write(tmp_path / "d", 30)
    data = opened(tmp_path / "d")
    assert data.schema.shape == (3, 6, 5)
    assert np.array_equal(data.storage, np.stack([pixels(i).transpose(2, 0, 1) for i in range(30)]))
    assert data.labels is None


def test_sub_folders_are_labels_and_top_folders_splits(tmp_path: Path) -> None:
    for k, name in enumerate(("cat", "dog")):
        write(tmp_path / "d" / name, 12, start=100 * k)
        write(tmp_path / "s" / "train" / name, 12, start=100 * k)
        write(tmp_path / "s" / "test" / name, 5, start=100 * k + 50)
    data = opened(tmp_path / "d")
    assert data.schema.label is not None
    assert data.schema.label.classes == ("cat", "dog")
    assert data.labels is not None
    assert data.labels.tolist() == [0] * 12 + [1] * 12
    split = opened(tmp_path / "s")
    assert len(split.splits["test"]) == 10
    assert split.labels is not None
    assert split.labels[split.splits["test"]].tolist() == [0] * 5 + [1] * 5
    assert opened(tmp_path / "d", label="none").labels is None


@pytest.mark.parametrize("content", ["nothing", "texts", "one picture", "one path"])
def test_folders_without_enough_pictures(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    if content == "texts":
        (folder / "readme.md").write_text("hello")
    if content.startswith("one"):
        write(folder, 1)
    with pytest.raises(DataError) as caught:
        opened(folder / "00000.png" if content == "one path" else folder)
    message = str(caught.value)
    assert str(folder) in message or "rows" in message
    if content == "texts":
        assert "1 .md" in message
        assert ".png" in message


def corrupt(folder: Path) -> dict[str, bytes]:
    whole = io.BytesIO()
    Image.fromarray(pixels(999, (40, 40, 3))).save(whole, "PNG")
    files = {
        "empty.png": b"",
        "page.png": b"<!DOCTYPE html><html><body>404</body></html>",
        "cut.png": whole.getvalue()[: len(whole.getvalue()) // 2],
        "noise.jpg": b"\xff\xd8\xff" + bytes(range(200)),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return files


def test_unreadable_pictures_are_skipped_with_their_reason(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write(folder, 96)
    files = corrupt(folder)
    data = opened(folder)
    assert len(data) == 96
    reasons = dict(data.skipped)
    assert set(reasons) == set(files)
    assert reasons["empty.png"] == "is empty"
    assert "HTML" in reasons["page.png"]
    assert "cannot be decoded" in reasons["cut.png"]
    assert any("4 of 100 pictures were skipped" in warning for warning in data.warnings)


def test_too_many_unreadable_pictures_are_an_error_unless_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write(folder, 10)
    corrupt(folder)
    with pytest.raises(DataError, match="4 of 14 pictures cannot be read") as caught:
        opened(folder)
    assert "data.skip" in caught.value.hint
    assert len(opened(folder, skip=0.5)) == 10


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write(folder, 40)
    (folder / "bomb.png").write_bytes(bomb())
    data = opened(folder)
    assert "50000 x 50000 pixels" in dict(data.skipped)["bomb.png"] or "more than" in dict(data.skipped)["bomb.png"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bomb.png").write_bytes(bomb(8_000))
    with pytest.raises(UnsafeFileError):
        opened(tmp_path / "b")


def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    write(tmp_path / "d", 40)
    (tmp_path / "d" / "bomb.png").write_bytes(bomb())  # 2.5 GB, were it decoded
    code = (
        "import resource\nfrom headwater.data import open_dataset\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"open_dataset({str(tmp_path / 'd')!r})\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 300 * 2**20


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_same_pixels_give_the_same_tensor_whatever_the_mode() -> None:
    policy = Policy(3, 6, 5)
    grey = pixels(1, (6, 5))
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    image = Image.fromarray(rgb)
    variants = {
        "RGB": encoded(image, "PNG"),
        "L": encoded(Image.fromarray(grey), "PNG"),
        "P": encoded(image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256), "PNG"),
        "RGBA": encoded(Image.fromarray(np.dstack([rgb, np.full((6, 5), 255, np.uint8)])), "PNG"),
        "16-bit": encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        "BMP": encoded(image, "BMP"),
        "TIFF": encoded(image, "TIFF"),
    }
    for name, data in variants.items():
        assert np.array_equal(decode_picture(data, policy, LIMITS), rgb.transpose(2, 0, 1)), name


def test_rotation_animation_and_transparency() -> None:
    rgb = pixels(2)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.fromarray(np.rot90(rgb, 1).copy()), "PNG", exif=exif)
    assert np.array_equal(decode_picture(turned, Policy(3, 6, 5), LIMITS), rgb.transpose(2, 0, 1))
    frames = [Image.fromarray(np.full((6, 5), v, np.uint8)) for v in (10, 200)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_picture(moving, Policy(1, 6, 5), LIMITS) == 10).all()
    clear = encoded(Image.fromarray(np.dstack([rgb, np.zeros((6, 5), np.uint8)])), "PNG")
    assert (decode_picture(clear, Policy(3, 6, 5), LIMITS) == 255).all()
    assert decode_picture(clear, Policy(4, 6, 5), LIMITS).shape == (4, 6, 5)
    cmyk = encoded(Image.fromarray(rgb).convert("CMYK"), "JPEG")
    assert decode_picture(cmyk, Policy(3, 6, 5), LIMITS).shape == (3, 6, 5)


def test_a_mixed_folder_follows_its_majority_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write(folder, 20, shape=(6, 5))
    write(folder, 5, start=100)
    write(folder, 3, start=200, shape=(12, 10))
    data = opened(folder)
    assert data.schema.shape == (1, 6, 5)
    told = " ".join(data.notes)
    assert "3 of 28 have another size" in told
    assert "5 of 28 have another number of channels: made L" in told
    assert opened(folder, channels=3, image_size=(8, 8)).schema.shape == (3, 8, 8)


def test_links_pipes_and_loops_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write(folder, 20)
    outside = tmp_path / "secret.png"
    Image.fromarray(pixels(1)).save(outside)
    (folder / "link.png").symlink_to(outside)
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    data = opened(folder)
    assert len(data) == 20
    reasons = dict(data.skipped)
    assert set(reasons) == {"link.png", "zero.png", "loop", "pipe.png"}
    with pytest.raises(DataError, match="device"):
        opened(Path("/dev/zero"))
    with pytest.raises(DataError, match="pipe"):
        opened(folder / "pipe.png", kind="table")


def test_odd_names_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "d ä ü"
    write(folder, 10)
    for i, name in enumerate(("sp ace", "new\nline", "日本", "a,b;c", "-rf")):
        Image.fromarray(pixels(100 + i)).save(folder / f"{name}.png")
    assert len(opened(folder)) == 15


def test_a_zip_of_a_folder_reads_like_the_folder(tmp_path: Path) -> None:
    for k, name in enumerate(("cat", "dog")):
        write(tmp_path / "d" / name, 12, start=100 * k)
    path = tmp_path / "d.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((tmp_path / "d").rglob("*.png")):
            archive.write(file, Path("top") / file.relative_to(tmp_path / "d"))
        archive.writestr("__MACOSX/top/._x.png", b"junk")
    from_zip, from_folder = opened(path), opened(tmp_path / "d")
    assert np.array_equal(from_zip.storage, from_folder.storage)
    assert np.array_equal(from_zip.hashes, from_folder.hashes)
    assert from_zip.schema.label == from_folder.schema.label


def test_many_pictures_are_decoded_once_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "d"
    write(folder, 60)
    (folder / "bad.png").write_bytes(b"")
    monkeypatch.setattr(images, "_IN_MEMORY_FILES", 0)
    first = opened(folder)
    assert isinstance(first.storage, np.memmap)

    def fail(*_: Any) -> None:
        raise AssertionError("decoded twice")

    monkeypatch.setattr(images, "decode_picture", fail)
    second = opened(folder)
    assert second.fingerprint == first.fingerprint
    assert second.skipped == first.skipped
    os.utime(folder / "00003.png", ns=(1, 1))
    with pytest.raises(AssertionError, match="decoded twice"):
        opened(folder)


def test_limits_bound_the_number_of_files(tmp_path: Path) -> None:
    write(tmp_path / "d", 12)
    with pytest.raises(UnsafeFileError, match="members"):
        open_dataset(tmp_path / "d", limits=Limits(members=10))
