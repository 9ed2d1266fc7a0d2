"""Archives: names that leave the folder, links, bombs, lies and foreign kinds are refused; nothing is written."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from headwater.data import open_dataset
from headwater.data.archive import SafeZip
from headwater.data.limits import LIMITS, Limits
from headwater.errors import DataError, UnsafeFileError


def packed(path: Path, fill: Callable[[zipfile.ZipFile], None]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        fill(archive)
    return path


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/abs.png", "C:\\x.png", "a\\b.png", "C:/x.png"])
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path / "a.zip", lambda archive: archive.writestr(zipfile.ZipInfo(name), b"x"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsafeFileError):
        open_dataset(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_null_character_in_a_name_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", lambda archive: archive.writestr("evil@.png", b"x"))
    path.write_bytes(path.read_bytes().replace(b"evil@", b"evil\0"))
    with pytest.raises(DataError):
        SafeZip(path, LIMITS)


def test_links_and_duplicates_are_refused(tmp_path: Path) -> None:
    def link(archive: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo("link.png")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")

    with pytest.raises(UnsafeFileError, match="link"):
        SafeZip(packed(tmp_path / "l.zip", link), LIMITS)

    def twice(archive: zipfile.ZipFile) -> None:
        archive.writestr("a.png", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", b"2")

    with pytest.raises(UnsafeFileError, match="twice"):
        SafeZip(packed(tmp_path / "t.zip", twice), LIMITS)


def test_a_bomb_is_refused_by_its_ratio_and_size(tmp_path: Path) -> None:
    path = packed(tmp_path / "b.zip", lambda archive: archive.writestr("a.png", bytes(100_000_000)))
    with pytest.raises(UnsafeFileError, match="200 times"):
        SafeZip(path, LIMITS)
    with pytest.raises(UnsafeFileError, match="bytes"):
        SafeZip(path, Limits(bytes=1_000_000))


def test_lying_sizes_are_found_while_streaming(tmp_path: Path) -> None:
    path = packed(tmp_path / "b.zip", lambda archive: archive.writestr("a.png", bytes(range(256)) * 40))
    data = bytearray(path.read_bytes())
    directory = data.rfind(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    archive = SafeZip(path, LIMITS)
    with pytest.raises(DataError):
        archive.read(archive.members[0], 1_000_000)


def test_too_many_members_are_refused_before_the_directory_is_read(tmp_path: Path) -> None:
    path = packed(tmp_path / "m.zip", lambda archive: [archive.writestr(f"{i}.png", b"") for i in range(300)])  # type: ignore[arg-type,return-value]
    with pytest.raises(UnsafeFileError, match="300 members"):
        SafeZip(path, Limits(members=200))


@pytest.mark.parametrize("name", ["d.tar", "d.tar.gz", "d.tgz", "d.7z"])
def test_tar_is_not_accepted(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"x" * 600)
    with pytest.raises(DataError, match="not accepted") as caught:
        open_dataset(path)
    assert "npack it yourself" in caught.value.hint


def test_what_is_no_zip_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match=r"x\.zip"):
        open_dataset(path)
