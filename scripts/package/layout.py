"""What a package's layout is made of: an Entry is one file to pack, a PackageLayout a target's.

A target's file (sagemaker.py, ...) returns entries; archive.py writes them. The rooms are found
beside this one, so that an installed onnxferry packs as a checkout does.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from onnxferry.scripts.package.model import CheckedModel
from onnxferry.system.console import Report

_ROOMS = Path(__file__).resolve().parents[2]
_INIT_FOLDER = next(p for p in (_ROOMS / "onnxferry", _ROOMS) if (p / "__init__.py").is_file())


@dataclass(frozen=True)
class Entry:
    """One file of a package: `path` in it (with /), and the file or the bytes that it gets."""

    path: str
    source: Path | bytes

    def open(self) -> BinaryIO:
        """The content, to read."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True)
class PackageRequest:
    """What is to be packed: a checked model, for a Python version ("3.12")."""

    model: CheckedModel
    python: str
    report: Report


@dataclass(frozen=True)
class Limit:
    """What a platform takes, in bytes: `packed` is the archive, `unpacked` the sum of its files;
    None if unlimited."""

    packed: int | None = None
    unpacked: int | None = None


@dataclass(frozen=True)
class PackageLayout:
    """One target's package: its file name, what writes it, what is in it, and the platform's
    Pythons (default first)."""

    target: str
    file: str
    write: Callable[[Sequence[Entry], Path], None]
    entries: Callable[[PackageRequest], list[Entry]]
    pythons: tuple[str, ...]
    limit: Limit = Limit()


def host_entries(request: PackageRequest, target: str, *, model: str, code: str) -> list[Entry]:
    """The files of the model directory below `model`; below `code`, the files of targets/<target>/
    and the scoring core, verbatim, as the package onnxferry.scoring."""
    folder = request.model.folder
    return [
        *(Entry(model + name, folder / name) for name in request.model.files),
        *tree(_ROOMS / "targets" / target, code),
        Entry(f"{code}onnxferry/__init__.py", _INIT_FOLDER / "__init__.py"),
        *tree(_ROOMS / "scoring", f"{code}onnxferry/scoring/"),
    ]


def tree(folder: Path, under: str) -> Iterator[Entry]:
    """Each file below `folder`, without what Python or an editor leaves there."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if path.is_file() and not hidden and path.suffix != ".pyc":
            yield Entry(under + inside.as_posix(), path)
