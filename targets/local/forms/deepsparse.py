"""DeepSparse Server's bodies: a task's fields in, the fields of its output object out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.pipelines import arguments
from onnxferry.pipelines.binding import bind
from onnxferry.pipelines.tasks import TASKS
from onnxferry.pipelines.tasks.pipeline_task import PipelineTask
from onnxferry.scoring import codecs, timing, validation
from onnxferry.scoring.codecs import JSON
from onnxferry.scoring.errors import InvalidValue, ScoringError
from onnxferry.scoring.scorer import Scorer
from onnxferry.scoring.wire import Request, Response


class DeepSparseForm:
    """A Form. `endpoint`: {"task", "model", "arguments"} of a server's configuration; without it
    the task that the model has, with DeepSparse's defaults."""

    def __init__(self, endpoint: Mapping[str, Any] | None = None) -> None:
        self._bound = None
        if endpoint:
            self._bound = bind(endpoint["task"], endpoint["model"], endpoint["arguments"])

    def answer(self, scorer: Scorer, request: Request) -> Response:
        """See Form."""
        data = codecs.decode(scorer.body(request), request.content_type, (JSON,))
        return self.reply(scorer, validation.mapping(data, "the body"))

    def refusal(self, error: ScoringError) -> Any:
        """{"error": {"code", "message"}}."""
        return {"error": {"code": error.code, "message": str(error)}}

    def knows(self, scorer: Scorer, body: Mapping[str, Any]) -> bool:
        """Whether a body has a field of the task's."""
        task = self._bound.task if self._bound else _task(scorer)
        return task is not None and any(name in body for name in task.inputs)

    def reply(self, scorer: Scorer, body: Mapping[str, Any]) -> Response:
        """The answer to a request's data."""
        if self._bound:
            task, values = self._bound.task, self._bound.values
        else:
            task, values = _plain(scorer)
        timing.switch("preprocess")
        answer = scorer.answer(task.payload(body, values))
        timing.switch("encode")
        return Response(200, codecs.encode_json(task.response(body, answer, values)), JSON)


def _task(scorer: Scorer) -> PipelineTask | None:
    return next((task for task in TASKS.values() if task.ours == scorer.spec.task), None)


def _plain(scorer: Scorer) -> tuple[PipelineTask, Mapping[str, Any]]:
    task = _task(scorer)
    if task is None:
        known = ", ".join(task.ours for task in TASKS.values())
        raise InvalidValue(f"DeepSparse has no task {scorer.spec.task}; it has {known}")
    values = {**arguments.read(task.name, {}, task.arguments), "asked_length": False}
    values["unnamed"] = False
    task.spec(scorer.spec, values, Path())  # it completes the values
    return task, values
