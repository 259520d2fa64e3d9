"""Model directories that are replaced on disk are taken over while the server runs.

What is served is a private copy of each directory, made and then checked against the hashes in its
model_spec.json. So a directory may be replaced in any way, also file by file: one that is not whole
yet is left alone until it is, and a file that is cut short where it lies hurts nothing. (ONNX
Runtime maps weights from their file: a process that touches a page beyond the file's new end is
killed by SIGBUS.)
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias

from onnxferry.scoring import ModelSpec, ScoringError
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import SPEC_FILE

_LOG = logging.getLogger(__name__)
PERIOD = 1.0  # seconds between two looks
_PREFIX = "onnxferry-served-"
_MOMENT = 60.0  # seconds in which a new folder gets its lock

Signature: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Of each file: its name, inode, size and time of change."""
Replace: TypeAlias = Callable[[str, Path], Awaitable[None]]
"""Backend.replace."""
Told: TypeAlias = Callable[[str, str], None]
"""Metrics.reloaded."""


def signature(folder: Path) -> Signature:
    """Of what is in a model directory now; empty where there is none."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        found = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    except OSError:  # it is being replaced
        return ()
    return tuple((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in found)


class Copies:
    """Private copies of model directories, below one folder that is removed at the end, or, after a
    crash, by the next server."""

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        _remove_left(parent)
        self._folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._lock = _locked(self._folder)
        self._count = 0

    def copy(self, source: Path) -> Path:
        """A copy of the files that `source` needs. Raises ModelError for a file that is absent, or
        that has not its hash."""
        spec = ModelSpec.read(source)
        self._count += 1
        target = self._folder / str(self._count)
        target.mkdir()
        try:
            listed = {*spec.files, SPEC_FILE}
            names = listed if spec.files else {e.name for e in os.scandir(source) if e.is_file()}
            for name in sorted(names):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / name, target / name)
            _check(ModelSpec.read(target), target, source)
        except BaseException as e:
            self.remove(target)
            if isinstance(e, OSError):
                raise ModelError(f"{source}: {e}") from e
            raise
        return target

    def remove(self, copy: Path) -> None:
        """What still uses its files goes on doing so."""
        shutil.rmtree(copy, ignore_errors=True)

    def close(self) -> None:
        """Remove them all."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._lock:
            self._lock.close()


def _check(spec: ModelSpec, copy: Path, source: Path) -> None:
    for name, expected in spec.files.items():
        with (copy / name).open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        if digest.hexdigest() != expected:
            what = f"{source / name} has not the sha256 that {SPEC_FILE} lists"
            raise ModelError(f"{what}: it is damaged, or not copied in whole yet")


def _remove_left(parent: Path) -> None:
    """Folders of servers that were killed: nobody holds their lock."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another server removes it
            found = folder.stat()
            left = found.st_uid == os.getuid() and time.time() - found.st_mtime > _MOMENT
            if left and (lock := _locked(folder)):
                shutil.rmtree(folder, ignore_errors=True)
                lock.close()


def _locked(folder: Path) -> IO[str] | None:
    """The folder's lock, held until it is closed; None if another process holds it."""
    import fcntl

    file = (folder / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


@dataclass
class _Model:
    """One directory: the copy that is served, what was seen when it was last tried, and at the last
    look."""

    source: Path
    copy: Path
    tried: Signature
    seen: Signature


class Watch:
    """Looks after the directories `sources`, by the names of models."""

    def __init__(self, sources: Mapping[str, Path], copies: Copies) -> None:
        """Raises ModelError for a directory that cannot be served."""
        self._copies = copies
        self._models: dict[str, _Model] = {}
        for name, source in sources.items():
            seen = signature(source)
            self._models[name] = _Model(source, copies.copy(source), seen, seen)

    @property
    def folders(self) -> Mapping[str, Path]:
        """What is to be served for each model."""
        return {name: model.copy for name, model in self._models.items()}

    async def run(self, replace: Replace, told: Told, period: float = PERIOD) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(period)
            await self.look(replace, told)

    async def look(self, replace: Replace, told: Told) -> None:
        """Take over what changed, once it is the same as at the look before."""
        for name, model in self._models.items():
            before, model.seen = model.seen, signature(model.source)
            if model.seen and model.seen == before != model.tried:
                model.tried = model.seen
                try:
                    await self._take(name, model, replace)
                except ScoringError as e:
                    _LOG.error("%s: the new model is refused, the old one serves on: %s", name, e)
                    told(name, "refused")
                else:
                    _LOG.info("%s: the new model in %s answers", name, model.source)
                    told(name, "taken")

    async def _take(self, name: str, model: _Model, replace: Replace) -> None:
        loop = asyncio.get_running_loop()
        copy = await loop.run_in_executor(None, self._copies.copy, model.source)
        try:
            await replace(name, copy)
        except BaseException:
            self._copies.remove(copy)
            raise
        old, model.copy = model.copy, copy
        self._copies.remove(old)
