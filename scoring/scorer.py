"""load(model_dir) -> Scorer; Scorer.handle(Request) -> Response, which never raises."""

from __future__ import annotations

import logging
from pathlib import Path

from scoring import codecs
from scoring.contract import JSON, MODEL_FILE, ModelSpec, Request, Response
from scoring.engine import Session
from scoring.errors import InternalError, ModelError, ScoringError, TooLarge
from scoring.tasks import TASKS, Task, build

_log = logging.getLogger("scoring")


class Scorer:
    """One loaded model behind one method. Safe to call from several threads at once."""

    def __init__(self, spec: ModelSpec, task: Task) -> None:
        self.spec = spec
        self._task = task

    def handle(self, request: Request) -> Response:
        """Answer `request`. Whatever it holds, the result is a Response: status 200 with the task's answer, or the
        status of a ScoringError with {"error": {"code", "message"}}."""
        try:
            return self._answer(request)
        except ScoringError as e:
            return _refusal(e)
        except Exception:
            _log.exception("unexpected failure while scoring")
            return _refusal(InternalError("the model could not score this request; the host's log has the cause"))

    def _answer(self, request: Request) -> Response:
        limit = self.spec.limits.body_bytes
        if len(request.body) > limit:
            size = len(request.body)
            raise TooLarge(f"the body has {size} bytes; this model takes at most {limit} (limits.body_bytes)")
        media_type = codecs.negotiate(request.accept)
        payload = codecs.decode(request.body, request.content_type, self._task.accepts)
        return Response(200, codecs.ENCODERS[media_type](self._task.answer(payload)), media_type)


def load(model_dir: str | Path) -> Scorer:
    """The scorer of a model directory (model.onnx, model_spec.json and, for text, tokenizer.json).

    Raises ModelError that names the file and what is wrong with it.
    """
    folder = Path(model_dir)
    spec = ModelSpec.read(folder)
    if spec.task not in TASKS:
        raise ModelError(f"{folder}: unknown task '{spec.task}' in model_spec.json; known: {', '.join(sorted(TASKS))}")
    session = Session(folder / MODEL_FILE)
    try:
        return Scorer(spec, build(spec, session, folder))
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise ModelError(f"{folder}: settings in model_spec.json do not fit task '{spec.task}' ({e!r})") from e


def _refusal(error: ScoringError) -> Response:
    body = {"error": {"code": error.code, "message": str(error)}}
    return Response(error.status, codecs.encode_json(body), JSON)
