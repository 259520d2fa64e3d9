"""Packages of any size: no file is read into memory as a whole."""

from __future__ import annotations

import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxferry.scripts.package import archive
from onnxferry.scripts.package.layout import Entry
from onnxferry.scripts.rehearse.archives import unpack_tar, unpack_zip

SIZE, MOST = 20_000_000, 6_000_000  # bytes of a file, and of Python's memory meanwhile


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    path = tmp_path / "model.onnx.data"
    with path.open("wb") as file:
        file.write(os.urandom(1000))
        file.truncate(SIZE)  # zeros, which take no disk and pack fast
    return Entry("model/model.onnx.data", path)


def _folder(path: Path, folder: Path) -> None:
    path.rename(folder)


@pytest.mark.parametrize(
    ("write", "unpack"),
    [
        (archive.write_tar_gz, unpack_tar),
        (archive.write_zip, unpack_zip),
        (archive.write_folder, _folder),
    ],
)
def test_a_large_file_is_packed_and_unpacked_piece_by_piece(
    write: Callable[..., None], unpack: Callable[..., None], entry: Entry, tmp_path: Path
) -> None:
    packed, out = tmp_path / "packed", tmp_path / "out"
    tracemalloc.start()
    try:
        (member,) = archive.members([entry])
        write([entry], packed)
        archive.fingerprint(packed)
        unpack(packed, out)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert member.size == SIZE
    assert archive.members([Entry(entry.path, out / entry.path)]) == (member,)


def test_a_file_beyond_what_a_plain_zip_can_say_is_packed_too(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond 2 GB (here 1 MB) zip has another form."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1_000_000)
    for name in ("a", "b"):
        archive.write_zip([entry, Entry("x", b"small")], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    unpack_zip(tmp_path / "a", tmp_path / "out")
    made = Entry(entry.path, tmp_path / "out" / entry.path)
    assert archive.members([made]) == archive.members([entry])
