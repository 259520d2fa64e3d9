"""What a run exported and verified, kept for runs with other flags: up to two fifths of their
time on BERT-base (docs/performance.md). An entry holds the graph, what the source model and the
graph answered, by what they were fed, and the answers of transformers' pipeline. What they are
compared by is the flags' own.

Entries are folders below the cache folder, named by the hash of all that they depend on. Each
appears whole or not at all, and is read only if its digests are right.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from onnxferry.scoring.manifest import MODEL_FILE
from onnxferry.scripts.prepare import disk_space
from onnxferry.scripts.prepare.cache import cache_key, stored_outputs
from onnxferry.scripts.prepare.options import HUGGINGFACE, Options
from onnxferry.scripts.prepare.sources.known_outputs import KnownOutputs, RunOutputs
from onnxferry.scripts.prepare.sources.source import RunModel
from onnxferry.system import console
from onnxferry.system.cache import cache_folder
from onnxferry.system.errors import UsageError
from onnxferry.system.hashes import sha256

LIMIT = "ONNXFERRY_PREPARE_CACHE_GB"  # of all entries; 0: none
_GB = 10.0  # by default
_WAIT = 30.0  # seconds for another run that is writing an entry
_DIGESTS, _OUTPUTS, _ANSWERS = "digests.json", "outputs.npz", "answers.json"
_SOURCE, _GRAPH = "source", "graph"


def cache_of(options: Options, asked: Mapping[str, Any]) -> ExportCache:
    """The cache of a resolved source; one that keeps nothing where it is off, and for modules,
    whose code cannot be hashed for certain, and .onnx files, which are not exported. Raises
    UsageError for a wrong limit."""
    if options.no_cache or not limit() or options.kind != HUGGINGFACE:
        return ExportCache(None)
    key = cache_key.of(options, asked)
    return ExportCache(cache_folder() / "prepare" / key if key else None)


def limit() -> int:
    """In bytes."""
    text = os.environ.get(LIMIT) or str(_GB)
    try:
        return int(max(float(text), 0) * 1e9)
    except (OverflowError, ValueError):
        raise UsageError(f"{LIMIT}={text}: expected gigabytes, such as 10, or 0 for none") from None


class ExportCache:
    """One entry, which is in `folder` or will be; None: nothing is known, and nothing kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._runs: dict[str, KnownOutputs] = {}
        self._earlier: dict[str, dict[str, RunOutputs]] = {}
        self._taken = 0  # how much is known from the entry
        self.answers: dict[str, Any] = {}  # of transformers' pipeline, by the question

    def take(self, target: Path) -> bool:
        """Put the graph's files into the folder `target`, and know the rest; False where there is
        no such entry. One that is damaged is told, and deleted."""
        if self._folder is None or not (self._folder / _DIGESTS).exists():
            return False
        try:
            with console.stage(f"export and answers from the cache: {self._folder}"):
                self._read(self._folder, target)
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as e:
            why = f"{self._folder}: the entry is damaged ({e}); the source is exported anew"
            console.err.print(f"    {why}", style="yellow", markup=False)
            for path in (*target.glob(f"{MODEL_FILE}*"), self._folder / _DIGESTS):
                path.unlink(missing_ok=True)
            return False
        return True

    def _read(self, folder: Path, target: Path) -> None:
        digests = json.loads((folder / _DIGESTS).read_text(encoding="utf-8"))
        for name in {MODEL_FILE, _OUTPUTS, _ANSWERS, *digests}:
            if sha256(folder / name) != digests[name]:
                raise ValueError(f"{name} is not what was written")
        earlier = stored_outputs.read(folder / _OUTPUTS)
        answers = json.loads((folder / _ANSWERS).read_text(encoding="utf-8"))
        for path in folder.glob(f"{MODEL_FILE}*"):
            shutil.copyfile(path, target / path.name)
        os.utime(folder / _DIGESTS)  # it is used: others go first
        self._earlier, self.answers = earlier, answers
        self._taken = sum(map(len, earlier.values())) + len(answers)

    def restore(self, source: RunModel | None, graph: KnownOutputs) -> None:
        """Let both models know what they answered; what they are asked more will be kept."""
        self._runs = {_GRAPH: graph}
        if isinstance(source, KnownOutputs):
            self._runs[_SOURCE] = source
        for name, run in self._runs.items():
            run.restore(self._earlier.get(name, {}))

    def keep(self, exported: Path, options: Options) -> None:
        """Keep the verified graph in the folder `exported` and all answers, if there is room. What
        hinders that is told, and ends nothing. The models themselves are let go."""
        runs, self._runs = self._runs, {}
        if self._folder is None:
            return
        outputs = {name: run.kept() for name, run in runs.items()}
        answers = {key: value for key, value in self.answers.items() if _is_data(value)}
        if self._taken and sum(map(len, outputs.values())) + len(answers) <= self._taken:
            return
        root = self._folder.parent
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".lock", timeout=_WAIT):
                new = root / ".new"
                shutil.rmtree(new, ignore_errors=True)  # of a killed run: the lock is ours
                try:
                    _write(new, exported, outputs, answers)
                    _publish(new, self._folder, options)
                finally:
                    shutil.rmtree(new, ignore_errors=True)
        except OSError as e:
            _not_kept(root, str(e))


def _write(
    new: Path,
    exported: Path,
    outputs: Mapping[str, Mapping[str, RunOutputs]],
    answers: Mapping[str, Any],
) -> None:
    """Copies: of hard links, which the model directory would then be, onnx.load refuses weights."""
    new.mkdir()
    for path in exported.glob(f"{MODEL_FILE}*"):
        shutil.copyfile(path, new / path.name)
    stored_outputs.write(new / _OUTPUTS, outputs)
    (new / _ANSWERS).write_text(json.dumps(answers), encoding="utf-8")
    digests = {path.name: sha256(path) for path in new.iterdir()}
    (new / _DIGESTS).write_text(json.dumps(digests), encoding="utf-8")


def _publish(new: Path, folder: Path, options: Options) -> None:
    """Move the entry `new` to `folder`, and the least recently used out beyond the limit."""
    size, root = _size(new), folder.parent
    if size > limit():
        return _not_kept(root, f"{disk_space.gb(size)} are over {LIMIT}")
    weights = sum(path.stat().st_size for path in new.glob(f"{MODEL_FILE}*"))
    shutil.rmtree(folder, ignore_errors=True)
    others = sorted((path for path in root.glob("[!.]*") if path.is_dir()), key=_used)
    while others and size + sum(map(_size, others)) > limit():
        shutil.rmtree(others.pop(0), ignore_errors=True)
    if disk_space.free(root) < disk_space.needed(options, weights, disk_space.EXPORTED):
        return _not_kept(root, "the disk is short of room")
    new.rename(folder)
    return None


def _not_kept(root: Path, why: str) -> None:
    told = f"{root}: the export is not kept for other runs: {why}"
    console.err.print(f"    {told}", style="dim", markup=False)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*"))


def _used(folder: Path) -> float:
    path = folder / _DIGESTS
    return path.stat().st_mtime if path.exists() else 0.0


def _is_data(answer: Any) -> bool:
    """Whether JSON gives it back as it is."""
    try:
        return bool(json.loads(json.dumps(answer)) == answer)
    except (TypeError, ValueError):
        return False
