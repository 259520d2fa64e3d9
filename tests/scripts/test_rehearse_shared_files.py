"""What environments have alike is on the disk once, and nothing else of them is changed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from onnxferry.scripts.rehearse.shared_files import share

LARGE, OTHER, SMALL = b"a" * 100_000, b"b" * 100_000, b"c"


def made(folder: Path, **files: bytes) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_large_files_of_one_content_are_one_file(tmp_path: Path) -> None:
    first = made(tmp_path / "first", library=LARGE, small=SMALL)
    second = made(tmp_path / "second", other=OTHER, same=LARGE, small=SMALL)
    for folder in (first, second):
        share(folder, tmp_path / ".files")

    assert (first / "library").samefile(second / "same")
    assert not (first / "small").samefile(second / "small")
    assert {path.name: path.read_bytes() for path in second.iterdir()} == {
        "other": OTHER,
        "same": LARGE,
        "small": SMALL,
    }


def test_other_permissions_are_another_file_and_links_are_left(tmp_path: Path) -> None:
    folder = made(tmp_path / "one", library=LARGE, program=LARGE)
    (folder / "program").chmod(0o755)
    (folder / "link").symlink_to("library")
    share(folder, tmp_path / ".files")

    assert stat.S_IMODE((folder / "library").stat().st_mode) != 0o755
    assert stat.S_IMODE((folder / "program").stat().st_mode) == 0o755
    assert (folder / "link").is_symlink()


def test_what_no_environment_has_any_more_leaves_the_store(tmp_path: Path) -> None:
    gone = made(tmp_path / "gone", library=LARGE)
    share(gone, tmp_path / ".files")
    (gone / "library").unlink()
    share(made(tmp_path / "next", library=OTHER), tmp_path / ".files")

    (kept,) = (tmp_path / ".files").iterdir()
    assert kept.read_bytes() == OTHER


def test_without_links_the_files_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*paths: object, **options: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refused)
    folder = made(tmp_path / "one", library=LARGE)
    share(folder, tmp_path / ".files")

    assert (folder / "library").read_bytes() == LARGE
    assert not [*(tmp_path / ".files").iterdir()]
