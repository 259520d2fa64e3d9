"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=path.parent) as scratch:
        fresh = Path(scratch) / path.name
        yield fresh
        put(fresh, path)


def put(fresh: Path, path: Path) -> None:
    """Move `fresh` to `path`; a folder that was there goes beside `fresh`, or back on failure."""
    if not path.is_dir():
        fresh.replace(path)
        return
    old = path.rename(fresh.with_name(f"{fresh.name}.old"))
    try:
        fresh.rename(path)
    except BaseException:
        old.rename(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, in a folder that is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
