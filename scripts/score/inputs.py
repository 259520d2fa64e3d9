"""What INPUT names: files of one format, always in the same order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from onnxferry.scripts.score import formats
from onnxferry.scripts.score.formats.reading import File
from onnxferry.system.errors import UsageError

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Input:
    """Files that one reader reads. `others`: files of the folders that are of no known format."""

    format: str
    files: tuple[File, ...]
    others: int = 0

    def fingerprint(self) -> str:
        """Other where a file is another, or was written since."""
        digest = hashlib.sha256()
        for file in self.files:
            found = file.path.stat() if file.path.exists() else file.path.lstat()
            line = f"{file.name}\0{found.st_size}\0{found.st_mtime_ns}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def find(inputs: Sequence[str]) -> Input:
    """The files of paths. Raises UsageError for none, and for several formats."""
    found = [file for text in inputs for file in _files(_path(text))]
    known = [(formats.of(file.name), file) for file in found]
    names = sorted({of for of, _ in known} - {""})
    if len(names) != 1:
        of = f"files of {' and '.join(names)}" if names else "no file of a known format"
        wanted = "give Parquet, CSV or JSON Lines, by their suffixes, or pictures"
        raise UsageError(
            f"{', '.join(inputs)[:200]}: holds {of}; {wanted}, of one format at a time"
        )
    files = tuple(file for of, file in known if of)
    return Input(names[0], files, len(found) - len(files))


def _path(text: str) -> Path:
    if "://" in text:
        raise UsageError(f"{text}: --engine local reads paths of this machine alone")
    path = Path(text)
    if not path.exists():
        raise UsageError(f"{text}: there is no such file or folder")
    return path


def _files(path: Path) -> list[File]:
    if not path.is_dir():
        if not formats.of(path.name):
            known = "known: .parquet, .csv, .tsv, .jsonl (and .gz) and pictures"
            raise UsageError(f"{path}: the suffix tells no format; {known}")
        return [File(path, path.name)]
    return list(_below(path, path))


def _below(folder: Path, root: Path) -> Iterator[File]:
    """The files of a folder and of those in it, but what Spark and systems put beside data."""
    if (folder / "_delta_log").is_dir():
        what = "is a Delta table, whose files hold rows that are no longer its own"
        raise UsageError(f"{folder}: {what}; write it as Parquet, or score it with Spark")
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if not path.name.startswith("_") or "=" in path.name:
                yield from _below(path, root)
        else:
            name = path.relative_to(root)
            yield File(path, name.as_posix(), _constants(name.parts[:-1]))


def _constants(folders: Sequence[str]) -> dict[str, str | None]:
    """Of year=2026, as Hive and Spark write a column whose value a folder's files share."""
    pairs = [name.partition("=") for name in folders if "=" in name]
    return {unquote(k): None if v == _NO_VALUE else unquote(v) for k, _, v in pairs}


def check_output(output: Path, found: Input, inputs: Sequence[str]) -> None:
    """Raise UsageError where writing `output` would change what is read."""
    where = output.resolve()
    if any(where == file.path.resolve() for file in found.files):
        raise UsageError(f"{output}: is an INPUT itself; give another OUTPUT")
    if folders := [text for text in inputs if Path(text).resolve() in where.parents]:
        raise UsageError(f"{output}: is inside INPUT {folders[0]}; give an OUTPUT outside of it")
