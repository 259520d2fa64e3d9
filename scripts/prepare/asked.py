"""What was asked of prepare, as data to compare with what is asked later. Files count by their
content: one that was moved is the same, one that was edited is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.options import HUB, MODULE, Options
from onnxferry.scripts.prepare.sources.content import content_sha256

_HUB = ("id", "revision", "commit")
_NOT_SETTINGS = ("source", "out", "dry_run", "test", "no_cache", "folder")  # of Options


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
