"""A user's own task: a class in a Python file of the model directory.

`task` is "file:NAME.py:CLASS", `files` lists NAME.py with its sha256, and `settings.needs` names
those of LIBRARIES that it imports. The class is a scoring.tasks.Task. The file runs unconfined, if
it has that hash.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from onnxferry.scoring import validation
from onnxferry.scoring.codecs import DECODERS
from onnxferry.scoring.engine import Runner
from onnxferry.scoring.errors import ModelError, ScoringError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

PREFIX = "file:"
LIBRARIES = ("pillow", "tokenizers")
SETTINGS: Mapping[str, Parameter] = {"needs": Parameter(validation.strings, [])}
"""For the class to read together with its own."""

_FORMER_IMPORT = re.compile(rb"^[ \t]*(from|import)[ \t]+scoring\b", re.MULTILINE)
_TASK = re.compile(r"file:([A-Za-z_][A-Za-z0-9_]*\.py):([A-Za-z_][A-Za-z0-9_]*)")


def parse(spec: ModelSpec) -> tuple[str, str]:
    """The file and the class that `spec.task` names. Raises ModelError."""
    found = _TASK.fullmatch(spec.task)
    if not found:
        raise ModelError(f"task '{spec.task[:80]}' in model_spec.json is not file:NAME.py:CLASS")
    if found[1] not in spec.files:
        raise ModelError(f"'files' in model_spec.json does not list {found[1]} with its sha256")
    return found[1], found[2]


def needs(spec: ModelSpec) -> tuple[str, ...]:
    """Those of LIBRARIES that the task imports. Raises ModelError for any other."""
    parse(spec)
    names = spec.settings.get("needs", [])
    unknown = [name for name in names if name not in LIBRARIES] if isinstance(names, list) else []
    if unknown or not isinstance(names, list):
        came = f"'{unknown[0]}'" if unknown else validation.kind(names)
        expected = f"must list some of {', '.join(LIBRARIES)}"
        raise ModelError(f"'settings.needs' in model_spec.json {expected}, got {came}")
    return tuple(sorted(set(names)))


def build(spec: ModelSpec, runner: Runner, folder: Path) -> Any:
    """The task of the file that `spec` names. Raises ModelError that names the file."""
    file, name = parse(spec)
    path = folder / file
    task_class = getattr(_module(path, spec.files[file]), name, None)
    if not isinstance(task_class, type):
        raise ModelError(f"{path} has no class {name}, which 'task' in model_spec.json names")
    try:
        task = task_class(spec, runner, folder)
    except ScoringError:
        raise
    except Exception as e:
        raise ModelError(f"{path}: {name} cannot be made: {type(e).__name__}: {e}") from e
    accepts = getattr(task, "accepts", None)
    if not isinstance(accepts, tuple) or not accepts or not set(accepts) <= set(DECODERS):
        known = ", ".join(DECODERS)
        raise ModelError(f"{path}: {name}.accepts must be a tuple of media types among {known}")
    if not callable(getattr(task, "answer", None)):
        raise ModelError(f"{path}: {name} has no method answer(payload)")
    return task


def _module(path: Path, sha256: str) -> ModuleType:
    """The file, run as a module. The bytes that run are those that were hashed."""
    try:
        source = path.read_bytes()
    except OSError as e:
        what = "not readable, though model_spec.json lists it"
        raise ModelError(f"{path}: {what} ({e.strerror})") from e
    if (actual := hashlib.sha256(source).hexdigest()) != sha256.removeprefix("sha256:"):
        said = f"but model_spec.json says {sha256[:80]}; pack the model again"
        raise ModelError(f"{path}: sha256 is {actual}, {said}")
    if found := _FORMER_IMPORT.search(source):  # a checkout still has it, a host has not
        advice = "write 'from onnxferry.scoring import ...', and pack the model again"
        line = found[0].decode().strip()
        raise ModelError(f"{path}: '{line}': scoring is onnxferry.scoring now; {advice}")
    module = ModuleType(f"onnxferry_task_{actual[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102
    except ImportError as e:
        has = "a host has numpy, onnxruntime, onnxferry.scoring and what 'settings.needs' names"
        raise ModelError(f"{path}: {e}; {has}") from e
    except Exception as e:
        raise ModelError(f"{path}: cannot be loaded: {type(e).__name__}: {e}") from e
    return module
