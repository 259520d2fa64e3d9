"""The folder that a cluster's answers go to, and what is done of them: a record for the run and
one for each chunk of it."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from onnxferry.scripts.score.arrow_batches import ColumnMapping
from onnxferry.scripts.score.clusters.stored_files import StoredFile, listing_hash
from onnxferry.scripts.score.job import Outcome, ScoreJob
from onnxferry.system.errors import UsageError
from onnxferry.system.versions import own_version

RECORDS = "_onnxferry"  # readers pass over names that begin with '_'
_RUN = "run.json"
_MEANING = {
    "input": "the input's files are not the same, or have changed",
    "model": "another model",
    "parameters": "other parameters",
    "mapping": "other names of columns",
    "formats": "other formats",
    "onnxferry": "another version of onnxferry",
}


class Storage(Protocol):
    """What of stored_files.Storage is used here."""

    def names(self, folder: str) -> list[str]: ...
    def read(self, path: str) -> str: ...
    def write(self, path: str, text: str) -> None: ...
    def move(self, path: str, to: str) -> None: ...
    def remove(self, path: str) -> None: ...


@dataclass(frozen=True)
class Chunk:
    """Files that were scored together; what was written of them is in `staged` until it is moved,
    and counted: `refused` by their errors' codes."""

    files: tuple[str, ...]
    staged: str
    rows: int
    refused: Mapping[str, int]


class Output:
    """The output's folder. Nothing is in it but what a record names, and RECORDS."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage = storage
        self._folder = folder.rstrip("/")
        self._records = f"{self._folder}/{RECORDS}"
        self._kept: list[str] = []

    def open(self, run: Mapping[str, Any], *, replace: bool = False) -> int:
        """Go on with `run` if it began here, or begin it; how many rows are done. Raises
        UsageError where another run's answers are, unless `replace`, or others' files."""
        there = self._read(_RUN)
        same = there is not None and {name: there.get(name) for name in run} == run
        if replace and not (same and not self._complete()):
            self._clear()
        elif same:
            self._tidy()
            return sum(chunk.rows for chunk in self.chunks())
        self._check_free(run)
        if self._storage.names(self._records) and not there:
            self._storage.remove(self._records)  # left by a `_clear` that was killed
        self._write(_RUN, run)
        self._tidy()
        return 0

    def stage(self) -> str:
        """A new folder for one chunk: what an older driver's last tasks still write goes to its."""
        return f"{self._records}/staged-{uuid.uuid4().hex}"

    def chunks(self) -> list[Chunk]:
        """Those that are done."""
        found = (self._read(name) for name in self._names())
        return [Chunk(**{**one, "files": tuple(one["files"])}) for one in found if one]

    def keep(self, chunk: Chunk) -> None:
        """Record a chunk that is written, then move it into the output. Raises UsageError where
        another run has done so meanwhile."""
        if self._names() != self._kept:
            raise UsageError(f"another run writes into {self._folder}; let one of them work alone")
        self._kept.append(name := f"chunk-{len(self._kept) + 1:07}.json")
        self._write(name, asdict(chunk))
        self._move(chunk, name)

    def complete(self) -> None:
        """Leave the mark that readers of Spark's output look for."""
        if not self._complete():
            self._storage.write(f"{self._folder}/_SUCCESS", "")

    def discard(self, staged: str) -> None:
        """Remove what a chunk wrote that failed."""
        self._storage.remove(staged)

    def _names(self) -> list[str]:
        return [name for name in self._storage.names(self._records) if _is_chunk(name)]

    def _complete(self) -> bool:
        return "_SUCCESS" in self._storage.names(self._folder)

    def _clear(self) -> None:
        """Remove all, the run's record first, that what is left of a kill is no run, and what tells
        a run's folder last. Raises UsageError for a folder that is none."""
        names = self._storage.names(self._folder)
        others = [name for name in names if name != RECORDS]
        if others and RECORDS not in names:
            what = f"{self._folder} has {others[0]!r} and no {RECORDS}, so no run wrote it"
            advice = "--overwrite does not remove it; do so, or give another output"
            raise UsageError(f"{what}: {advice}")
        for name in (f"{RECORDS}/{_RUN}", *others, RECORDS):
            self._storage.remove(f"{self._folder}/{name}")

    def _check_free(self, run: Mapping[str, Any]) -> None:
        advice = "give another output, or --overwrite"
        if there := self._read(_RUN):
            other = [text for name, text in _MEANING.items() if there.get(name) != run.get(name)]
            differs = ", ".join(other)
            raise UsageError(f"{self._folder} has the answers of another run ({differs}); {advice}")
        if others := [name for name in self._storage.names(self._folder) if name != RECORDS]:
            raise UsageError(f"{self._folder} is not empty (it has {others[0]!r}); {advice}")

    def _tidy(self) -> None:
        """Move what is recorded, and remove what is not."""
        self._kept = self._names()
        for name, chunk in zip(self._kept, self.chunks(), strict=True):
            self._move(chunk, name)
        for name in self._storage.names(self._records):
            if name != _RUN and not _is_chunk(name):
                self._storage.remove(f"{self._records}/{name}")

    def _move(self, chunk: Chunk, record: str) -> None:
        for name in self._storage.names(chunk.staged):
            if not name.startswith(("_", ".")):
                to = f"{self._folder}/{record.removesuffix('.json')}-{name}"
                self._storage.move(f"{chunk.staged}/{name}", to)
        self._storage.remove(chunk.staged)

    def _read(self, name: str) -> dict[str, Any] | None:
        if name == _RUN and name not in self._storage.names(self._records):
            return None
        found: dict[str, Any] = json.loads(self._storage.read(f"{self._records}/{name}"))
        return found

    def _write(self, name: str, value: Mapping[str, Any]) -> None:
        """Whole or not at all."""
        fresh = f"{self._records}/writing-{uuid.uuid4().hex}"
        self._storage.write(fresh, json.dumps(value))
        self._storage.move(fresh, f"{self._records}/{name}")


def identity(
    job: ScoreJob,
    files: Sequence[StoredFile],
    model: str,
    mapping: ColumnMapping,
    formats: Sequence[Any] = (),
) -> dict[str, Any]:
    """What makes two runs the same one. `model` is its name with the hash of its files."""
    found = {
        "input": listing_hash(files),
        "model": model,
        "parameters": dict(job.parameters),
        "mapping": asdict(mapping),
        "formats": list(formats),
        "onnxferry": own_version(),
    }
    return dict(json.loads(json.dumps(found)))  # as it will be read


def check_apart(inputs: Iterable[str], output: str) -> None:
    """Raise UsageError where the output would be read, or an input written over or removed."""
    for name in inputs:
        if f"{output}/".startswith(f"{name}/") or f"{name}/".startswith(f"{output}/"):
            raise UsageError(f"{output} and the input {name} are one inside the other; move one")


def outcome(output: Output, resumed: int, job: ScoreJob, seconds: float) -> Outcome:
    """What a run comes to, by its records."""
    chunks = output.chunks()
    refused: Counter[str] = sum((Counter(chunk.refused) for chunk in chunks), Counter())
    rows = sum(chunk.rows for chunk in chunks)
    return Outcome(job.output, rows, rows, dict(refused), seconds, resumed)


def _is_chunk(name: str) -> bool:
    return name.startswith("chunk-") and name.endswith(".json")
