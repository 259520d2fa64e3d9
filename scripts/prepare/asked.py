"""What was asked of prepare, as data to compare with what is asked later. Files count by their
content: one that was moved is the same, one that was edited is not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.options import HUB, MODULE, Options
from onnxferry.scripts.prepare.sources.hub import model_files
from onnxferry.system.hashes import sha256

_HUB = ("id", "revision", "commit")
_NOT_SETTINGS = ("source", "out", "dry_run", "test", "folder")  # of Options


def asked(options: Options, origin: Mapping[str, str]) -> dict[str, Any]:
    """The source and the flags that are not the defaults; `origin` tells of a model of the hub. The
    parts are JSON data without paths."""
    names = (field.name for field in fields(options) if field.name not in _NOT_SETTINGS)
    default = Options("", Path())
    given = {name: getattr(options, name) for name in names}
    flags = {
        name: _plain(value) for name, value in given.items() if value != getattr(default, name)
    }
    return {"source": _source(options, origin), "flags": flags}


def _source(options: Options, origin: Mapping[str, str]) -> dict[str, str]:
    if options.kind == HUB:
        return {key: origin[key] for key in _HUB}
    if options.kind == MODULE:
        return {"name": options.source}
    return {"sha256": content_sha256(Path(options.source))}


def _plain(value: Any) -> Any:
    return {"sha256": content_sha256(value)} if isinstance(value, Path) else value


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
