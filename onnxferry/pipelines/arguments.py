"""The arguments of DeepSparse's Pipeline.create: a table of those that all tasks take, one of those
that mean nothing here, and their reading."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from onnxferry.pipelines.context import Context, Scheduler, chosen
from onnxferry.pipelines.errors import PipelineError, nearest
from onnxferry.scoring import validation
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.validation import Parameter

Values = Mapping[str, Any]
ENGINES = ("deepsparse", "onnxruntime")  # both are ONNX Runtime here


def path(value: object, where: str) -> str:
    """A path, as a string."""
    if not isinstance(value, str | os.PathLike):
        raise PipelineError(f"'{where}' must be a path, got {validation.kind(value)}")
    return os.fspath(value)


def scheduler(value: object, where: str) -> Scheduler:
    """A Scheduler, or one's name."""
    return chosen(value if isinstance(value, Scheduler) else validation.string(value, where))


def context(value: object, where: str) -> Context:
    """A Context."""
    if not isinstance(value, Context):
        raise PipelineError(f"'{where}' must be a Context, got {validation.kind(value)}")
    return value


def lengths(value: object, where: str) -> list[int]:
    """One length or a list of them, in tokens, sorted."""
    several = list(value) if isinstance(value, list | tuple) else [value]
    if not several:
        raise PipelineError(f"'{where}' is an empty list; expected lengths in tokens")
    return sorted(validation.positive(length, where) for length in several)


def names(value: object, where: str) -> list[str]:
    """A list of strings."""
    return validation.strings(list(value) if isinstance(value, tuple) else value, where)


COMMON: Mapping[str, Parameter] = {
    "engine_type": Parameter(validation.one_of(*ENGINES), ENGINES[0]),
    "batch_size": Parameter(validation.natural, 1),
    "num_cores": Parameter(validation.positive),
    "num_streams": Parameter(validation.natural),
    "scheduler": Parameter(scheduler),
    "alias": Parameter(validation.string),
    "context": Parameter(context),
    "benchmark": Parameter(validation.flag, False),
}
TEXT: Mapping[str, Parameter] = {"sequence_length": Parameter(lengths, [128])}
_OWN_FILES = "the files in the model's folder count"
GONE: Mapping[str, str] = {  # arguments that change no answer here -> why
    "input_shapes": "a graph takes what comes; sequence_length or image_size tell the sizes",
    "executor": "a call's runs are done at once already",
    "logger": "each request leaves a line on Python's logger 'scoring'",
    "middlewares": "there are none",
    "pad_to_max_length": "padding changes no answer",
    "model_size": "the graph tells the size",
    "continuous_batch_sizes": "calls share runs by themselves",
    "trust_remote_code": "no code of a model is run",
    "show_progress": "there is no progress to show",
}
REFUSED: Mapping[str, str] = {  # arguments that would change answers -> why they are not taken
    "config": _OWN_FILES,
    "tokenizer": _OWN_FILES,
    "num_spans": "every window of a long context is read",
    "output_dir": "write what you need of the answers",
}


def read(task: str, given: Values, own: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values of COMMON and of a task's `own` arguments with their defaults. Raises
    PipelineError for one that is unknown, not taken here, or holds something else."""
    known = {**COMMON, **own}
    for name in given:
        if name in REFUSED and given[name] is not None and name not in own:
            raise PipelineError(f"'{name}' is not taken here: {REFUSED[name]}; leave it out")
        if name not in known and name not in GONE and name not in REFUSED:
            raise PipelineError(f"{task} has no argument '{name}'; {nearest(name, known)}")
    try:
        return {name: entry.take(given, name) for name, entry in known.items()}
    except ScoringError as e:
        raise PipelineError(f"{task}: {e}") from e


def ignored(given: Values) -> list[str]:
    """A sentence about each argument that changes nothing here."""
    return [f"'{name}' means nothing here: {GONE[name]}" for name in given if name in GONE]
