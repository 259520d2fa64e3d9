"""The content of files as one hash: what was moved is the same, what was edited is not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from onnxferry.scripts.prepare.sources.hub import model_files
from onnxferry.system.hashes import sha256


def content_sha256(path: Path) -> str:
    """The hash of a file and of what is named after it, as a graph's weights are; or of a folder's
    visible files and their places in it."""
    names = model_files.listing(path) if path.is_dir() else _beside(path)
    digests = (f"{sha256(file)}  {place}\n" for place, file in _placed(path, names))
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _placed(path: Path, names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Each file, and where it is, by a name that does not change when `path` is moved."""
    for name in names:
        if path.is_dir():
            yield name, path / name
        else:
            yield name.removeprefix(path.name), path.with_name(name)


def _beside(path: Path) -> list[str]:
    found = (each.name for each in path.parent.iterdir() if each.is_file())
    return sorted(model_files.beside(dict.fromkeys(found, 0), path.name))
