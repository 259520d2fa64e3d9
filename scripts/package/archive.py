"""Writers whose output depends on the entries alone: sorted, one time, one mode, one owner, one
compression level (6: level 9 takes three times as long on weights to save a few thousandths).

Equal entries give equal bytes on every machine with the same zlib.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from onnxferry.scripts.package.contract import Member
from onnxferry.scripts.package.layout import Entry
from onnxferry.system.hashes import sha256

_TIME = 315_532_800  # 1980-01-01, the first that a zip archive can say
_MODE = 0o644
_LEVEL = 6


def write_tar_gz(entries: Sequence[Entry], path: Path) -> None:
    """A gzipped tar archive of plain files without folders, owners or links."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for entry in entries:
            info = tarfile.TarInfo(entry.path)
            info.size, info.mtime, info.mode = entry.size, _TIME, _MODE
            with entry.open() as source:
                tar.addfile(info, source)


def write_zip(entries: Sequence[Entry], path: Path) -> None:
    """A deflated zip archive of plain files, whose modes are those of a Unix."""
    with zipfile.ZipFile(path, "w") as archive:
        for entry in entries:
            info = zipfile.ZipInfo(entry.path, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.file_size = 3, entry.size  # 3: Unix
            info.external_attr = (0o100000 | _MODE) << 16
            info.compress_type = zipfile.ZIP_DEFLATED  # at zlib's default level, which is 6
            with entry.open() as source, archive.open(info, "w") as member:
                shutil.copyfileobj(source, member, 1 << 20)


def write_folder(entries: Sequence[Entry], path: Path) -> None:
    """A plain folder."""
    for entry in entries:
        target = path / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with entry.open() as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)


def members(entries: Iterable[Entry]) -> tuple[Member, ...]:
    """Each entry's path, size and hash."""
    return tuple(Member(e.path, e.size, _sha256(e)) for e in entries)


def _sha256(entry: Entry) -> str:
    if isinstance(entry.source, bytes):
        return hashlib.sha256(entry.source).hexdigest()
    return sha256(entry.source)


def fingerprint(path: Path) -> str:
    """What names a package: the sha256 of an archive's bytes, or of a folder's listing as sha256sum
    would print it.

    Python's caches in a folder do not count: they come when its code is run in place.
    """
    if path.is_file():
        return sha256(path)
    files = [p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    hashes = {p.relative_to(path).as_posix(): sha256(p) for p in files}
    listing = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
    return hashlib.sha256(listing.encode()).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends without an error.

    A file is replaced in one step. A folder is moved aside for an instant, and back if its
    successor cannot come in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as scratch:
        fresh, old = Path(scratch) / path.name, Path(scratch) / f"{path.name}.old"
        yield fresh
        if not path.is_dir():
            fresh.replace(path)
            return
        path.rename(old)
        try:
            fresh.rename(path)
        except BaseException:
            old.rename(path)
            raise
