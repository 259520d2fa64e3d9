"""DeepSparse's Pipeline: a model, its task and its arguments behind one call."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxferry.pipelines.binding import Binding, bind
from onnxferry.pipelines.context import Context
from onnxferry.pipelines.engine import Engine
from onnxferry.pipelines.errors import InvalidInput, PipelineError, nearest
from onnxferry.pipelines.outputs import Output
from onnxferry.pipelines.server_config import read_file
from onnxferry.pipelines.tasks.pipeline_task import Request
from onnxferry.pipelines.timers import StagedTimer, TimerManager
from onnxferry.scoring import timing
from onnxferry.scoring.scorer import located, over
from onnxferry.scoring.validation import LARGEST

_log = logging.getLogger("onnxferry.pipelines")
_UNLIMITED = {"items": LARGEST, "tokens": LARGEST}  # a caller in this process pays by itself


@dataclass(frozen=True)
class PipelineConfig:
    """The arguments of Pipeline.create; `kwargs` are the task's."""

    task: str
    model_path: str | None = None
    engine_type: str | None = None
    batch_size: int | None = 1
    num_cores: int | None = None
    scheduler: str | None = "async"
    input_shapes: list[list[int]] | None = None
    alias: str | None = None
    middlewares: list[str] | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class Pipeline:
    """Made by `create` or `from_config`. Safe to call from several threads at once. A task's
    arguments are attributes: pipeline.top_k."""

    def __init__(self, binding: Binding) -> None:
        """See create."""
        self.binding, values = binding, binding.values
        folder, _ = located(binding.path)
        context: Context | None = values["context"]
        options = binding.spec.engine
        cores = values["num_cores"]
        self.engine = Engine(binding.path, None, cores, context=context, options=options)
        limits = replace(binding.spec.limits, **_UNLIMITED)
        self._scorer = over(self.engine.runner, replace(binding.spec, limits=limits), folder)
        self.timer_manager = TimerManager(values["benchmark"])
        for note in binding.notes:
            _log.warning("%s: %s", binding.task.name, note)

    @classmethod
    def create(cls, task: str, model_path: str | Path | None = None, **arguments: Any) -> Pipeline:
        """The pipeline of a task (DeepSparse's names and aliases, or ours) and a model: a folder of
        DeepSparse's, a model directory, or an .onnx file with the other files beside it. Raises
        PipelineError, a ValueError, for what cannot be used, ModelError for an unusable model."""
        model = arguments.pop("model", None)
        if (model is None) == (model_path is None):
            raise PipelineError(
                "give model_path: a folder, or an .onnx file; models have no default"
            )
        return cls(bind(task, os.fspath(model_path or model), arguments))

    @classmethod
    def from_config(
        cls, config: PipelineConfig | Mapping[str, Any] | str | Path, **arguments: Any
    ) -> Pipeline:
        """As create, from PipelineConfig's keys: an object, a dict, the path of a YAML or JSON
        file, or JSON text. `arguments` (context, ...) go with them."""
        read = config if isinstance(config, PipelineConfig) else _config(config)
        given = {name: value for name, value in vars(read).items() if value is not None}
        task, own = given.pop("task"), given.pop("kwargs")
        return cls.create(task, **{**given, **own, **arguments})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The task's output, of outputs.py, for its inputs by name or in their order. Raises
        ScoringError for an input that cannot be answered."""
        task = self.binding.task
        with timing.measuring() as metrics:
            request = task.opened(self._request(args, kwargs))
            timing.switch("preprocess")
            answer = task.raw(request, self._scorer.spec, self.engine.runner)
            if answer is None:
                answer = self._scorer.answer(self.binding.payload(request))
            timing.switch("postprocess")
            output = task.output(**self.binding.response(request, answer))
            metrics.milliseconds()
        self.timer_manager.add(StagedTimer.of(metrics.seconds))
        return output

    run = __call__

    def _request(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
        """The call in the form of DeepSparse's requests."""
        names = self.binding.task.inputs
        if args and kwargs:
            raise InvalidInput(f"give {', '.join(names)} either by name or in order, not both ways")
        if unknown := [name for name in kwargs if name not in names]:
            raise InvalidInput(f"no input '{unknown[0]}'; {nearest(unknown[0], names)}")
        if len(args) == 1 and isinstance(args[0], Mapping):
            return self._request((), args[0])
        if names[0] != "question" and args:  # several texts or pictures
            return {names[0]: args[0] if len(args) == 1 else list(args)}
        if len(args) > len(names):
            raise InvalidInput(f"{len(args)} inputs came; expected {', '.join(names)}")
        return {**dict(zip(names, args, strict=False)), **kwargs}

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__["binding"].values if "binding" in self.__dict__ else {}
        if name not in values:
            raise AttributeError(f"'Pipeline' object has no attribute '{name}'")
        return values[name]

    @property
    def task(self) -> str:
        """DeepSparse's name of it."""
        return self.binding.task.name

    @property
    def model_path(self) -> str:
        """As it was given."""
        return os.fspath(self.binding.path)

    @property
    def sequence_length(self) -> int | list[int]:
        """In tokens; several, if so many were given, as their longest."""
        lengths: list[int] = self.binding.values["sequence_length"]
        return lengths if len(lengths) > 1 else lengths[0]

    @property
    def output_schema(self) -> type[Output]:
        """The class of the outputs."""
        return self.binding.task.output

    @property
    def current_timer(self) -> StagedTimer | None:
        """Of the latest call."""
        return self.timer_manager.latest

    @property
    def benchmark(self) -> bool:
        """Whether the timers of all calls are kept."""
        return self.timer_manager.multi

    @benchmark.setter
    def benchmark(self, value: bool) -> None:
        self.timer_manager.multi = value

    def __repr__(self) -> str:
        return f"Pipeline(task={self.task!r}, model_path={self.model_path!r})"


def _config(config: Mapping[str, Any] | str | Path) -> PipelineConfig:
    data: Any = config
    if isinstance(config, str) and config.lstrip().startswith("{"):
        data = _json(config)
    elif isinstance(config, str | Path):
        data = read_file(Path(config))
    if not isinstance(data, Mapping):
        raise PipelineError(f"the configuration must hold an object, got {type(data).__name__}")
    known = PipelineConfig.__dataclass_fields__
    if unknown := [str(key) for key in data if key not in known]:
        raise PipelineError(f"the configuration has '{unknown[0]}'; {nearest(unknown[0], known)}")
    if "task" not in data:
        raise PipelineError("the configuration's 'task' is missing")
    return PipelineConfig(**data)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as e:
        raise PipelineError(f"the configuration is no JSON ({e})") from e
