"""What an archive may hold before it is unpacked on the user's machine."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from onnxferry.scripts.rehearse.archives import unpack_tar, unpack_zip
from onnxferry.system.errors import RehearsalError


def tar_of(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def regular(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = 1
    return info


def link(name: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info


def test_files_land_below_the_folder(tmp_path: Path) -> None:
    unpack_tar(tar_of(tmp_path / "a.tar.gz", regular("code/inference.py")), tmp_path / "out")
    assert (tmp_path / "out" / "code" / "inference.py").read_bytes() == b"x"


@pytest.mark.parametrize("member", [regular("../evil"), regular("/tmp/evil"), link("code")])  # noqa: S108
def test_a_tar_that_reaches_outside_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    with pytest.raises(RehearsalError, match=member.name):
        unpack_tar(tar_of(tmp_path / "a.tar.gz", member), tmp_path / "deep" / "out")
    assert not (tmp_path / "deep" / "evil").exists()


def test_a_zip_that_reaches_outside_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("../evil", b"x")
    with pytest.raises(RehearsalError, match=r"\.\./evil"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"not an archive")
    for unpack in (unpack_tar, unpack_zip):
        with pytest.raises(RehearsalError, match="build the package again"):
            unpack(tmp_path / "a", tmp_path / "out")


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    whole = tar_of(tmp_path / "a.tar.gz", regular("one"), regular("two")).read_bytes()
    (tmp_path / "half.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RehearsalError, match=r"half\.tar\.gz"):
        unpack_tar(tmp_path / "half.tar.gz", tmp_path / "out")


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    """zlib's own error is no OSError."""
    large = regular("model.onnx")
    large.size = 100_000
    whole = gzip.decompress(tar_of(tmp_path / "a.tar.gz", large).read_bytes())
    damaged = gzip.compress(whole[:50_000]) + gzip.compress(b"")[:10] + b"\xff" * 50
    (tmp_path / "a.tar.gz").write_bytes(damaged)
    with pytest.raises(RehearsalError, match="build the package again"):
        unpack_tar(tmp_path / "a.tar.gz", tmp_path / "out")
