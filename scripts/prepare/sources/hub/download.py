"""Content from the hub into its client's cache, going on where a download ended: the client begins
a file again, and would throw away what it has of it. Each content is checked by its hash."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from onnxferry.scripts.prepare.hub_id import HubId
from onnxferry.scripts.prepare.sources.hub import client
from onnxferry.scripts.prepare.sources.hub.client import RemoteFile, RemoteModel, Unreachable
from onnxferry.scripts.prepare.sources.hub.model_files import size
from onnxferry.system.errors import PrepareError

Counted = Callable[[int], None]  # bytes that have come
_ATTEMPTS = 5  # in a row that bring nothing
_PART = ".onnxferry-part"
_BLOCK = 1 << 20


class _Sink:
    """A file that tells what is written into it."""

    def __init__(self, file: BinaryIO, counted: Counted) -> None:
        self._file, self._counted = file, counted
        self.tell, self.seek, self.truncate = file.tell, file.seek, file.truncate

    def write(self, data: bytes) -> int:
        self._counted(len(data))
        return self._file.write(data)


class Blobs:
    """The contents that the client's cache holds of one model."""

    def __init__(self, asked: HubId) -> None:
        self._asked = asked
        name = "--".join(("models", *asked.name.split("/")))
        self._folder = client.cache() / name / "blobs"

    def lacking(self, files: Iterable[RemoteFile]) -> list[RemoteFile]:
        """Those whose content is not there whole."""
        return [file for file in files if not (file.etag and (self._folder / file.etag).exists())]

    def check_room(self, files: Iterable[RemoteFile]) -> None:
        """Raise PrepareError where `files` do not fit on the disk."""
        wanted = sum(file.size - self._begun(file) for file in files)
        self._folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._folder).free
        if wanted > free:
            room = f"{size(wanted)} are to be downloaded, and {size(free)} are free"
            advice = "make room, or set HF_HOME to a folder on another disk"
            raise PrepareError(f"{self._asked}: {room} in {client.cache()}: {advice}")

    def _begun(self, file: RemoteFile) -> int:
        part = self._part(file)
        return part.stat().st_size if file.etag and part.exists() else 0

    def _part(self, file: RemoteFile) -> Path:
        return self._folder / f"{file.etag}{_PART}"

    def bring(self, model: RemoteModel, file: RemoteFile, counted: Counted) -> None:
        """Download what is lacking of a file. Raises PrepareError for another content than the hub
        told of, and Unreachable; what has come is kept then."""
        if not file.etag:
            return  # a mirror that tells no hashes: the client downloads it by itself
        with FileLock(f"{self._part(file)}.lock"):
            if not (self._folder / file.etag).exists():
                counted(self._begun(file))
                self._complete(model, file, counted)
                self._check(file)
                self._part(file).replace(self._folder / file.etag)

    def _complete(self, model: RemoteModel, file: RemoteFile, counted: Counted) -> None:
        attempts = 0
        while True:
            begun = self._begun(file)
            try:
                with self._part(file).open("ab") as part:
                    sink = _Sink(part, counted)
                    client.get(self._asked, model.commit, file, sink, min(begun, file.size))
                return
            except Unreachable:
                attempts = attempts + 1 if self._begun(file) <= begun else 0
                if attempts >= _ATTEMPTS:
                    raise

    def _check(self, file: RemoteFile) -> None:
        part = self._part(file)
        if part.stat().st_size == file.size and _digest(part, file) == file.etag:
            return
        part.unlink()
        told = "what came is not what the hub told of (its hash differs)"
        raise PrepareError(f"{self._asked}: {file.path}: {told}; run it again")


def _digest(path: Path, file: RemoteFile) -> str:
    """As the hub names a content: by SHA-256, or as git does."""
    digest = hashlib.sha256()
    if len(file.etag) == 40:
        digest = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
