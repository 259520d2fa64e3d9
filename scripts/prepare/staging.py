"""A folder that appears whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, gone at the end whatever happens; `publish` what was made in it
    before."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = _sibling(out)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, out: Path) -> None:
    """Put `folder` in the place of `out`; if that fails, `out` is as it was."""
    if not out.exists():
        folder.rename(out)
        return
    before = _sibling(out)
    out.rename(before)
    try:
        folder.rename(out)
    except BaseException:
        before.rename(out)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _sibling(out: Path) -> Path:
    return out.with_name(f".{out.name}.{secrets.token_hex(4)}")
