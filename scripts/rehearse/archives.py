"""Unpack an archive as its platform does, refusing what would land outside the folder."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from onnxferry.system.errors import RehearsalError

_UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, zlib.error)


def unpack_tar(archive: Path, folder: Path) -> None:
    """The files of a .tar.gz below `folder`. Raises RehearsalError, for links too."""
    with _readable(archive), tarfile.open(archive) as tar:
        for member in tar:
            if not (member.isfile() or member.isdir()):
                raise RehearsalError(f"{archive}: '{member.name}' is a link or a device")
            _check(member.name, archive)
            tar.extract(member, folder, set_attrs=False)


def unpack_zip(archive: Path, folder: Path) -> None:
    """The files of a .zip below `folder`. Raises RehearsalError."""
    with _readable(archive), zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            _check(name, archive)
            opened.extract(name, folder)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as e:
        raise RehearsalError(f"{archive}: no whole archive ({e}); build the package again") from e


def _check(name: str, archive: Path) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise RehearsalError(f"{archive}: '{name}' would be written outside the package's folder")
