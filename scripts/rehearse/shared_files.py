"""The large files that several environments have alike are on the disk once: each is a hard link
to a store beside them, named by its content. Most of an environment is what another one has too."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from onnxferry.system.hashes import sha256

_LARGE = (
    32 * 1024
)  # bytes: the thousands of smaller files are a tenth of the disk, and most of the time


def share(folder: Path, store: Path) -> None:
    """Make each large file of `folder` one file with its equals in `store`, which is on the same
    disk; where links cannot be made, files stay as they are. What no folder has any more leaves
    the store."""
    store.mkdir(exist_ok=True)
    for kept in store.iterdir():
        with suppress(OSError):  # another process was first
            if kept.stat().st_nlink == 1:
                kept.unlink()
    for path, mode in _large(folder):
        with suppress(OSError):  # no links on this disk, or as many of this file as it allows
            _link(path, store / f"{sha256(path)}-{mode:o}")


def _large(folder: Path) -> Iterator[tuple[Path, int]]:
    """Regular files, and their permissions, which a link has in common with its file."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size >= _LARGE:
                yield path, stat.S_IMODE(status.st_mode)


def _link(path: Path, stored: Path) -> None:
    try:
        stored.hardlink_to(path)
    except FileExistsError:
        with tempfile.TemporaryDirectory(prefix=".link-", dir=path.parent) as scratch:
            link = Path(scratch) / path.name
            link.hardlink_to(stored)
            link.replace(path)
