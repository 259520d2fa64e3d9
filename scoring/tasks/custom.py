"""A user's own task: a class in a Python file that lies in the model directory and is packed with
it.

In model_spec.json, `task` is "file:NAME.py:CLASS", `files` lists NAME.py with its sha256, and
`settings.needs` names what the file imports besides the standard library, numpy and scoring: any of
tokenizers, pillow. The class is made with (spec, runner, folder) as every task is, and is a
scoring.tasks.Task. examples/custom_task shows one.

The file is the model owner's own code: it runs as what it is. It runs only if it is the very file
that the spec lists, so that what was packed is what is served, and an absent or a changed file is
refused by name.
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
"""The settings of every task of this kind, for the class to read its own together with."""

_TASK = re.compile(r"file:([A-Za-z_][A-Za-z0-9_]*\.py):([A-Za-z_][A-Za-z0-9_]*)")


def parse(spec: ModelSpec) -> tuple[str, str]:
    """The file and the class that `spec.task` names. Raises ModelError that says what the spec
    lacks."""
    found = _TASK.fullmatch(spec.task)
    if not found:
        raise ModelError(f"task '{spec.task[:80]}' in model_spec.json is not file:NAME.py:CLASS")
    if found[1] not in spec.files:
        raise ModelError(
            f"'files' in model_spec.json does not list {found[1]}, the file of its task, with its"
            " sha256"
        )
    return found[1], found[2]


def needs(spec: ModelSpec) -> tuple[str, ...]:
    """The distributions that the task imports besides numpy and onnxruntime. Raises ModelError for
    any other."""
    parse(spec)
    given = spec.settings.get("needs", [])
    if not isinstance(given, list) or (odd := [name for name in given if name not in LIBRARIES]):
        what = f"'{odd[0]}'" if isinstance(given, list) else validation.kind(given)
        raise ModelError(
            f"'settings.needs' in model_spec.json must list some of {', '.join(LIBRARIES)}, got"
            f" {what}"
        )
    return tuple(sorted(set(given)))


def build(spec: ModelSpec, runner: Runner, folder: Path) -> Any:
    """The task of the file that `spec` names. Raises ModelError that names the file and what is
    wrong with it."""
    name, wanted = parse(spec)
    path = folder / name
    kind = getattr(_module(path, spec.files[name]), wanted, None)
    if not isinstance(kind, type):
        raise ModelError(f"{path} has no class {wanted}, which 'task' in model_spec.json names")
    try:
        task = kind(spec, runner, folder)
    except ScoringError:
        raise
    except Exception as e:
        raise ModelError(f"{path}: {wanted} cannot be made: {type(e).__name__}: {e}") from e
    accepts = getattr(task, "accepts", None)
    if not isinstance(accepts, tuple) or not accepts or not set(accepts) <= set(DECODERS):
        raise ModelError(
            f"{path}: {wanted}.accepts must be a tuple of media types among {', '.join(DECODERS)}"
        )
    if not callable(getattr(task, "answer", None)):
        raise ModelError(f"{path}: {wanted} has no method answer(payload)")
    return task


def _module(path: Path, sha256: str) -> ModuleType:
    """The file, run as a module. The bytes that run are those that were hashed."""
    try:
        source = path.read_bytes()
    except OSError as e:
        raise ModelError(
            f"{path}: not readable, though model_spec.json lists it ({e.strerror})"
        ) from e
    if (actual := hashlib.sha256(source).hexdigest()) != sha256.removeprefix("sha256:"):
        raise ModelError(
            f"{path}: sha256 is {actual}, but model_spec.json says {sha256[:80]}; pack the model"
            " again"
        )
    module = ModuleType(f"onnxferry_task_{actual[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102
    except ImportError as e:
        raise ModelError(
            f"{path}: {e}; a host has numpy, onnxruntime, scoring and what 'settings.needs' names"
        ) from e
    except Exception as e:
        raise ModelError(f"{path}: cannot be loaded: {type(e).__name__}: {e}") from e
    return module
