"""One task of DeepSparse, and how it is said in terms of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxferry.pipelines.arguments import Values
from onnxferry.pipelines.errors import PipelineError
from onnxferry.pipelines.outputs import Output
from onnxferry.scoring.engine import Runner
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

Request = Mapping[str, Any]


@dataclass(frozen=True)
class PipelineTask:
    """`ours`: the task of scoring that answers. `inputs`: the fields of a request, in the order of
    a call's positional arguments. `arguments`: those besides arguments.COMMON."""

    name: str
    ours: str
    inputs: tuple[str, ...]
    arguments: Mapping[str, Parameter]
    output: type[Output]
    spec: Callable[[ModelSpec, dict[str, Any], Path], ModelSpec]
    """(spec of the model, arguments, its folder) -> the spec that a pipeline's scorer is made of.
    It may complete the arguments."""
    payload: Callable[[Request, Values], Any]
    """(DeepSparse's request, arguments) -> the payload of our task. Raises ScoringError."""
    response: Callable[[Request, Any, Values], dict[str, Any]]
    """(request, our answer, arguments) -> the fields of `output`, as JSON data."""
    aliases: tuple[str, ...] = ()
    opened: Callable[[Request], Request] = lambda request: request
    """What only a caller in this process can send (paths, pictures of Pillow), as bytes."""
    raw: Callable[[Request, ModelSpec, Runner], Any] = lambda request, spec, runner: None
    """Our answer to a request that holds the graph's own input, by the graph alone; None for any
    other request."""


def limited(spec: ModelSpec, lengths: list[int], asked: bool, **settings: Any) -> ModelSpec:
    """`spec` with `settings`, for sequences of at most the longest of `lengths`. One that was asked
    for, and not the default, must be what the model takes. Raises PipelineError."""
    longest, most = lengths[-1], spec.settings["max_length"]
    if asked and longest > most:
        what = f"'sequence_length' is {longest} tokens; the model takes at most {most}"
        raise PipelineError(what)
    length = {"max_length": min(longest, most)}
    return replace(spec, settings={**spec.settings, **length, **settings})


def as_list(value: Any) -> list[Any]:
    """A list or tuple as a list, anything else as a list of it."""
    return list(value) if isinstance(value, list | tuple) else [value]
