"""Files wherever Spark reads and writes them (a disk, HDFS, a bucket), by the Hadoop file systems
that Spark itself uses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark import SparkContext


@dataclass(frozen=True, order=True)
class StoredFile:
    """One file; `size` in bytes, `modified` in milliseconds since 1970."""

    path: str
    size: int
    modified: int


def listing_hash(files: Sequence[StoredFile]) -> str:
    """Changes when a file comes, goes, or is written again."""
    lines = "".join(f"{file.path}\t{file.size}\t{file.modified}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def groups(files: Sequence[StoredFile], size: float) -> Iterator[list[StoredFile]]:
    """Files in their order, together at least `size` bytes."""
    group: list[StoredFile] = []
    for file in files:
        group.append(file)
        if sum(one.size for one in group) >= size:
            yield group
            group = []
    if group:
        yield group


class Storage:
    """The file systems of a Spark context. Paths are as Spark takes them."""

    def __init__(self, context: SparkContext) -> None:
        self._jvm: Any = context._jvm
        self._settings = context._jsc.hadoopConfiguration()

    def files(self, pattern: str) -> list[StoredFile]:
        """The files that the pattern names or that are below its folders, sorted; without those
        whose path has a part that begins with '_' or '.' there."""
        system, path = self._at(pattern)
        found: list[StoredFile] = []
        for top in system.globStatus(path) or ():
            root = top.getPath().toUri().getPath()
            each = system.listFiles(top.getPath(), True)
            while each.hasNext():
                one = each.next()
                inside = one.getPath().toUri().getPath()[len(root) :]
                if not any(part.startswith(("_", ".")) for part in inside.split("/")):
                    path_ = one.getPath().toString()
                    found.append(StoredFile(path_, one.getLen(), one.getModificationTime()))
        return sorted(found)

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted; nothing where there is none."""
        system, path = self._at(folder)
        listed = system.listStatus(path) if system.exists(path) else ()
        return sorted(one.getPath().getName() for one in listed)

    def full(self, path: str) -> str:
        """The path with its file system's name, and without a slash at its end."""
        system, at = self._at(path)
        return str(system.makeQualified(at).toString()).rstrip("/")

    def read(self, path: str) -> str:
        """A file's text."""
        system, at = self._at(path)
        stream = system.open(at)
        try:
            return str(self._jvm.org.apache.commons.io.IOUtils.toString(stream, "UTF-8"))
        finally:
            stream.close()

    def write(self, path: str, text: str) -> None:
        """Write a file that is not there yet."""
        system, at = self._at(path)
        stream = system.create(at, False)
        try:
            stream.write(bytearray(text, "utf-8"))
        finally:
            stream.close()

    def move(self, path: str, to: str) -> None:
        """Rename within a file system. Raises OSError where it does not."""
        system, at = self._at(path)
        if not system.rename(at, self._at(to)[1]):
            raise OSError(f"{path} could not be moved to {to}")

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it, if it is there."""
        system, at = self._at(path)
        system.delete(at, True)

    def _at(self, path: str) -> tuple[Any, Any]:
        at = self._jvm.org.apache.hadoop.fs.Path(path)
        return at.getFileSystem(self._settings), at
