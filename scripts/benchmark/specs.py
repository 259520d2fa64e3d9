"""Which engine on which model: KIND[:OPTION=VALUE,...]@FOLDER, as --engine gives it.

    onnxferry@build/models/my-model
    pipeline:batch_size=32@path/to/hf-model
    deepsparse:name=pruned,sequence_length=128+256+384@path/to/folder    numbers joined by +
    pipeline:batch_size=1+8+32@path/to/hf-model    of a count several: the fastest, in this run
    onnxruntime:threads=1@path/to/folder/model_int8.onnx    a file, with what lies beside it
    onnxferry:OMP_NUM_THREADS=1@build/models/my-model    capitals: the process's environment

A table names the engine by the part before the @.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from onnxferry.scripts.benchmark.engines import ENGINES, HEADS
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_object

TASKS = {ending: task for task, ending in HEADS.items()} | {"Model": "feature-extraction"}

COUNTS = {"batch_size", "threads", "streams", "workers", "copies"}


@dataclass(frozen=True)
class EngineSpec:
    """`options` are the engine's; `environment` is set for its process."""

    kind: str
    folder: Path
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The folder, or the file in it, that was given."""
        return self.folder / str(self.options.get("file_name", ""))


def parse(texts: Sequence[str]) -> list[EngineSpec]:
    """The specs of several --engine. Equal names get the folder's, then a number. Raises
    UsageError."""
    specs = [_parse(text) for text in texts]
    specs = _apart(specs, [f"{spec.name}@{spec.folder.name}" for spec in specs])
    return _apart(specs, [f"{spec.name}#{i}" for i, spec in enumerate(specs, 1)])


def _apart(specs: Sequence[EngineSpec], longer: Sequence[str]) -> list[EngineSpec]:
    """The specs, with the longer name where several have one name."""
    times = Counter(spec.name for spec in specs)
    pairs = zip(specs, longer, strict=True)
    return [replace(s, name=name) if times[s.name] > 1 else s for s, name in pairs]


def _parse(text: str) -> EngineSpec:
    before, at, path = text.partition("@")
    kind, _, given = before.partition(":")
    if kind not in ENGINES or not at or not path:
        form = "KIND@FOLDER or KIND:OPTION=VALUE,...@FOLDER, where KIND is one of"
        raise UsageError(f"--engine {text}: expected {form} {', '.join(ENGINES)}")
    options = dict(_option(text, part) for part in given.split(",") if part)
    name = str(options.pop("name", before))
    folder = _folder(text, Path(path), options)
    environment = {key: str(options.pop(key)) for key in list(options) if key.isupper()}
    _check(text, kind, options)
    return EngineSpec(kind, folder, name, options, environment)


def _option(text: str, part: str) -> tuple[str, Any]:
    key, sign, value = part.partition("=")
    if not sign or not key or not value:
        raise UsageError(f"--engine {text}: expected OPTION=VALUE, got '{part}'")
    if key.isupper():
        return key, value
    parts = value.split("+")
    if not all(part.isdecimal() for part in parts):
        return key, value
    numbers = [int(part) for part in parts]
    return key, numbers if len(numbers) > 1 else numbers[0]


def _folder(text: str, path: Path, options: dict[str, Any]) -> Path:
    if path.is_file():
        options["file_name"] = path.name
        return path.parent
    if not path.is_dir():
        raise UsageError(f"--engine {text}: no folder or file {path}; models are not downloaded")
    return path


def _check(text: str, kind: str, options: Mapping[str, Any]) -> None:
    known = ("name", *ENGINES[kind].options)
    if unknown := ", ".join(sorted(set(options) - set(known))):
        there = f"{', '.join(known)}, and NAMES in capitals are set in its environment"
        raise UsageError(f"--engine {text}: {kind} has no option {unknown}; it has {there}")
    for key in COUNTS & set(options):
        for given in _several(options[key]):
            if not isinstance(given, int) or given < 1:
                raise UsageError(f"--engine {text}: {key} must be an integer above 0, got {given}")


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def candidates(spec: EngineSpec) -> list[EngineSpec]:
    """The engine with each value of the counts that were given several: one, where none was."""
    keys = [key for key in spec.options if key in COUNTS]
    values = product(*(_several(spec.options[key]) for key in keys))
    chosen = (dict(zip(keys, each, strict=True)) for each in values)
    return [replace(spec, options={**spec.options, **counts}) for counts in chosen]


def searched(spec: EngineSpec) -> list[str]:
    """The names of its counts that were given several values."""
    return [key for key in spec.options if key in COUNTS and len(_several(spec.options[key])) > 1]


def task_of(specs: Sequence[EngineSpec]) -> str:
    """The task that the first folder which tells one tells. Raises UsageError."""
    for spec in specs:
        if (told := _read(spec.folder / "model_spec.json").get("task")) in TASKS.values():
            return str(told)
        for architecture in _read(spec.folder / "config.json").get("architectures") or ():
            for ending, task in TASKS.items():
                if architecture.endswith(ending):
                    return task
    raise UsageError("no folder tells the task (model_spec.json, config.json); give it with --task")


def labels_of(specs: Sequence[EngineSpec]) -> tuple[str, ...]:
    """The labels of the first folder that has some."""
    for spec in specs:
        names = _read(spec.folder / "model_spec.json").get("labels") or ()
        given = _read(spec.folder / "config.json").get("id2label") or {}
        if found := tuple(names) or tuple(given[key] for key in sorted(given, key=int)):
            return found
    return ()


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except UsageError:
        return {}
