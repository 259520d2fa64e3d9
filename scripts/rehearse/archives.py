"""Unpack an archive as its platform does, refusing what would land outside the folder."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from onnxferry.system.errors import RehearsalError


def unpack_tar(archive: Path, folder: Path) -> None:
    """The regular files of a .tar.gz below `folder`. Links are refused: the platforms do not follow
    them."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not (member.isfile() or member.isdir()):
                    raise RehearsalError(
                        f"{archive}: '{member.name}' is a link or a device, which no package may"
                        " hold"
                    )
                _check(member.name, archive)
                tar.extract(member, folder, set_attrs=False)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as e:
        raise RehearsalError(
            f"{archive}: not readable as a .tar.gz archive ({e}); build the package again"
        ) from e


def unpack_zip(archive: Path, folder: Path) -> None:
    """The files of a .zip below `folder`."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                _check(member.filename, archive)
                opened.extract(member, folder)
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as e:
        raise RehearsalError(
            f"{archive}: not readable as a .zip archive ({e}); build the package again"
        ) from e


def _check(name: str, archive: Path) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise RehearsalError(
            f"{archive}: '{name}' would be written outside the package's folder; do not use it"
        )
