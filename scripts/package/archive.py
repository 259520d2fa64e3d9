"""Writers whose output depends on the entries alone: equal entries give equal bytes."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from onnxferry.scripts.package.contract import Member
from onnxferry.scripts.package.layout import Entry
from onnxferry.system.hashes import sha256

_TIME = 315_532_800  # 1980-01-01, the first that a zip archive can say
_MODE = 0o644
# On libraries 7 takes twice as long as 4 and saves a twenty-fifth, which Azure Functions needs: its
# hosts fetch the package at each start. 9 takes twice as long again, and saves one in 300.
_TAR_LEVEL, _ZIP_LEVEL = 4, 7


def write_tar_gz(entries: Sequence[Entry], path: Path, level: int = _TAR_LEVEL) -> None:
    """A gzipped tar archive of plain files."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.size, info.mtime, info.mode = entry.size, _TIME, _MODE
            with entry.open() as source:
                tar.addfile(info, source)


def write_zip(entries: Sequence[Entry], path: Path, level: int = _ZIP_LEVEL) -> None:
    """A deflated zip archive of plain files."""
    with zipfile.ZipFile(path, "w") as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.path, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.file_size = 3, entry.size  # 3: Unix
            info.external_attr = (0o100000 | _MODE) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            info._compresslevel = level  # type: ignore[attr-defined]  # named so before 3.13 too
            with entry.open() as source, archive.open(info, "w") as member:
                shutil.copyfileobj(source, member, 1 << 20)


def write_folder(entries: Sequence[Entry], path: Path) -> None:
    """A plain folder, which everyone may read, whatever the umask: an image's user too."""
    for entry in entries:
        target = path / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with entry.open() as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
        target.chmod(_MODE)
        os.utime(target, (_TIME, _TIME))
    for folder in (path, *(below for below in path.rglob("*") if below.is_dir())):
        folder.chmod(0o755)


def members(entries: Iterable[Entry]) -> tuple[Member, ...]:
    """Each entry's path, size and hash."""
    return tuple(Member(e.path, e.size, _sha256(e)) for e in entries)


def _sha256(entry: Entry) -> str:
    if isinstance(entry.source, bytes):
        return hashlib.sha256(entry.source).hexdigest()
    return sha256(entry.source)


def fingerprint(path: Path) -> str:
    """The sha256 of an archive's bytes, or of a folder's listing as sha256sum prints it, without
    Python's caches."""
    if path.is_file():
        return sha256(path)
    files = [p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    hashes = {p.relative_to(path).as_posix(): sha256(p) for p in files}
    listing = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    return hashlib.sha256(listing.encode()).hexdigest()
