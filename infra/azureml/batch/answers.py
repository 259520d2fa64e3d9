"""The answer files, made of what a job has appended: NAME.out for each file NAME, a line for each
of its rows, in their order.

A job appends a line a row, of all files in no order, and may append a row twice where it tried a
file again. The lines stay in a file on this machine; where each begins is sorted in a database
beside it, so that memory holds one line at a time.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from onnxferry.infra.azureml.batch.places import ROWS, Places
from onnxferry.infra.batch_files import ANSWER, RECORDS
from onnxferry.infra.clients.azure_blobs import megabytes
from onnxferry.infra.jobs import Dataset
from onnxferry.system.console import Progress

_NOTES = 3  # files without all their answers that are named


@dataclass(frozen=True)
class Collected:
    """The `files` that were answered in whole, and why others were not, in words."""

    files: int
    notes: tuple[str, ...] = ()


def collect(
    places: Places, dataset: Dataset, job: str, marks: Mapping[str, str], progress: Progress
) -> Collected:
    """Put the answer files of an ended job into the output; its own file goes last, so that what
    was interrupted is done again. `marks` are the metadata of each."""
    out = places.output
    rows, files = f"{out.folder}{RECORDS}{job}/{ROWS}", 0
    with tempfile.TemporaryDirectory() as kept:
        appended = Path(kept) / ROWS
        out.blobs.download(rows, appended, megabytes(progress))
        with _Lines(appended, [file.name for file in dataset.files]) as lines:
            for name in lines.whole(one_row=not dataset.format.rows):
                answer = Path(kept) / "answer"
                with answer.open("wb") as written:
                    written.writelines(lines.of(name))
                where = f"{out.folder}{name}{ANSWER}"
                out.blobs.upload(where, answer, marks, lambda done, size: None, overwrite=True)
                files += 1
                progress(f"{files:,} file(s) answered")
            notes = tuple(lines.notes)
    out.blobs.delete(rows)
    return Collected(files, notes)


class _Lines:
    """The lines of a file, sorted by the input file that they are of, and by row."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self._names = _Names(names)
        self._file: BinaryIO = path.open("rb")
        self._base = sqlite3.connect(str(path.with_suffix(".sqlite")), isolation_level=None)
        self._base.execute("PRAGMA journal_mode = OFF")
        self._base.execute("PRAGMA synchronous = OFF")
        columns = "name TEXT, line INTEGER, start INTEGER, PRIMARY KEY (name, line)"
        self._base.execute(f"CREATE TABLE lines ({columns}) WITHOUT ROWID")
        self.notes: list[str] = []

    def __enter__(self) -> _Lines:
        self._base.execute("BEGIN")
        self._base.executemany("INSERT OR REPLACE INTO lines VALUES (?, ?, ?)", self._read())
        self._base.execute("COMMIT")
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()
        self._file.close()

    def whole(self, *, one_row: bool) -> Iterator[str]:
        """The files whose rows are all there, as far as can be told: from the first on, none is
        missing."""
        asked = "SELECT name, MIN(line), MAX(line), COUNT(*) FROM lines GROUP BY name"
        with closing(self._base.execute(asked)) as found:
            for name, first, last, count in found:
                if first in (0, 1) and last - first + 1 == count and (count == 1 or not one_row):
                    yield name
                elif len(self.notes) < _NOTES:
                    self.notes.append(f"{name}: {count:,} of its rows came, and not all")

    def of(self, name: str) -> Iterator[bytes]:
        """The answers of a file, each a line."""
        asked = "SELECT start FROM lines WHERE name = ? ORDER BY line"
        with closing(self._base.execute(asked, (name,))) as found:
            for (start,) in found:
                self._file.seek(start)
                yield _answer(json.loads(self._file.readline()))

    def _read(self) -> Iterator[tuple[str, int, int]]:
        start = 0
        for line in self._file:
            if (row := _row(line)) and (name := self._names.of(str(row.get("file", "")))):
                if isinstance(row.get("row"), int):
                    yield name, row["row"], start
                elif len(self.notes) < _NOTES:  # of the file as a whole
                    said = (row.get("error") or {}).get("message", "no answer")
                    self.notes.append(f"{name}: {said}")
            start += len(line)


class _Names:
    """The input files, by what a job calls them: their path, below whatever it has mounted."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known = set(names)

    def of(self, told: str) -> str:
        """The file that is meant; "" for none of the dataset."""
        parts = told.replace("\\", "/").strip("/").split("/")
        ends = ("/".join(parts[i:]) for i in range(len(parts)))
        return next((end for end in ends if end in self._known), "")


def _row(line: bytes) -> dict[str, Any] | None:
    """A line as data; None for one that was not written to its end."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _answer(row: Mapping[str, Any]) -> bytes:
    """As a job of another cloud writes it."""
    said = {"error": row["error"]} if row.get("error") else row.get("answer")
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"
