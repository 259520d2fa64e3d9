"""What a package's layout is made of: an Entry is one file to pack, a PackageLayout a target's."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from onnxferry import system
from onnxferry.scripts.package.model import CheckedModel

_ROOMS = Path(__file__).resolve().parents[2]  # in a checkout as in an installed onnxferry
_INIT = Path(system.__file__).parents[1] / "__init__.py"


@dataclass(frozen=True)
class Entry:
    """One file of a package: `path` in it (with /), and the file or the bytes that it gets."""

    path: str
    source: Path | bytes

    def open(self) -> BinaryIO:
        """The content, to read."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")

    def read(self) -> bytes:
        """The content of a small one."""
        with self.open() as file:
            return file.read()

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True)
class PackageLayout:
    """One target's package: its folders of the model and the code, what is `added` to them, the
    platform's Pythons (default first), its limits in bytes, and what it is on another of the
    platform's `images`. `adapter` is the folder of targets/<target>/, where that is not `code`.
    `compiled`: it brings its modules' byte code, where this machine has the Python for it."""

    target: str
    file: str
    write: Callable[[Sequence[Entry], Path], None]
    added: Callable[[CheckedModel], list[Entry]]
    model: str = "model/"
    code: str = ""
    pythons: tuple[str, ...] = ("3.12", "3.10", "3.11", "3.13")
    packed: int | None = None
    unpacked: int | None = None
    images: Mapping[str, PackageLayout] = field(default_factory=dict)
    adapter: str | None = None
    compiled: bool = False

    def entries(self, model: CheckedModel) -> list[Entry]:
        """The model's files, those of targets/<target>/, the scoring core as onnxferry.scoring, and
        what is added."""
        adapter = self.code if self.adapter is None else self.adapter
        return [
            *(Entry(self.model + name, model.folder / name) for name in model.files),
            *tree(_ROOMS / "targets" / self.target, adapter),
            Entry(f"{self.code}onnxferry/__init__.py", _INIT),
            *tree(_ROOMS / "scoring", f"{self.code}onnxferry/scoring/"),
            *self.added(model),
        ]


def pipelines() -> Iterator[Entry]:
    """onnxferry.pipelines, for what speaks DeepSparse's names."""
    return tree(_INIT.parent / "pipelines", "onnxferry/pipelines/")


def score_command(under: str) -> Iterator[Entry]:
    """`python -m onnxferry.scripts.score` with all of onnxferry that it imports, but for clusters,
    below the folder `under`."""
    scripts = f"{under}onnxferry/scripts/"
    for name in ("__init__.py", "local_scorer.py", "request_file.py"):
        yield Entry(scripts + name, _ROOMS / "scripts" / name)
    command = tree(_ROOMS / "scripts" / "score", f"{scripts}score/")
    yield from (entry for entry in command if "/clusters/" not in entry.path)
    yield Entry(f"{under}onnxferry/__init__.py", _INIT)
    yield from tree(_INIT.parent / "system", f"{under}onnxferry/system/")
    yield from tree(_ROOMS / "scoring", f"{under}onnxferry/scoring/")


def tree(folder: Path, under: str, compiled: bool = False) -> Iterator[Entry]:
    """Each file below `folder`, without what Python or an editor leaves there; byte code only where
    the folder's modules are `compiled`."""
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
        if path.is_file() and not hidden and (compiled or path.suffix != ".pyc"):
            yield Entry(under + inside.as_posix(), path)
