"""The folder beside --out that a model directory is made in. What is made appears whole or not at
all; what a killed run left is cleared by the next."""

from __future__ import annotations

import contextlib
import glob
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from onnxferry.scripts.prepare import disk_space

try:
    import fcntl
except ImportError:  # Windows: what a killed run left stays there
    fcntl = None  # type: ignore[assignment]

_LOCK, _BEFORE = ".lock", ".before"


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, for `publish`; deleted at the end."""
    out.parent.mkdir(parents=True, exist_ok=True)
    _clear(out)
    folder = _sibling(out)
    folder.mkdir()
    try:
        with (folder / _LOCK).open("w") as lock, disk_space.told(folder):
            _locked(lock)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, out: Path) -> None:
    """Move `folder` to `out`, in the place of what is there; on failure `out` is as it was."""
    if not out.exists():
        folder.rename(out)
        return
    before = out.rename(f"{_sibling(out)}{_BEFORE}")
    try:
        folder.rename(out)
    except BaseException:
        before.rename(out)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _sibling(out: Path) -> Path:
    return out.with_name(f".{out.name}.{secrets.token_hex(4)}")


def _clear(out: Path) -> None:
    """Delete the folders of runs that were killed, and put back what one was about to replace."""
    found = list(out.parent.glob(f".{glob.escape(out.name)}.*"))
    locks = [path / _LOCK for path in found if (path / _LOCK).is_file()]
    dead = [lock.parent for lock in locks if _is_free(lock)]
    if fcntl is None or len(dead) < len(locks):  # another run is at work here
        return
    for before in (path for path in found if path.name.endswith(_BEFORE)):
        if out.exists():
            shutil.rmtree(before, ignore_errors=True)
        else:
            before.rename(out)
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)


def _is_free(path: Path) -> bool:
    with path.open("w") as lock:
        return _locked(lock)


def _locked(lock: TextIO) -> bool:
    """Take the lock of an open file, until it is closed; False where another process has it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
